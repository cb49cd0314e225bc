"""What stores answer, and what is made of it: by obstore's own memory, by moto, and by a store that fails as asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from urllib.request import Request, urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_removebg import errors
from batch_removebg.errors import BatchError
from batch_removebg.storage.objects import Store, divided, is_object, object_problem, opened
from tests.support.buckets import answering, obstore
from tests.support.s3 import S3, Fault, Object, keep, s3, slow_down

__all__ = ["s3"]
pytestmark = pytest.mark.anyio
SECRET = "wJalrXUtnFEMIsecret"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "AKIAOFSHOP", "SECRET_ACCESS_KEY": SECRET, "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    for each in ("flask_cors", "moto"):
        pytest.importorskip(each, reason="pip install 'moto[s3]' flask-cors")
    server = import_module("moto.server").ThreadedMotoServer
    running = server("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for path in ("photos", "photos/odd/a//d.jpg"):
        urlopen(Request(f"{endpoint}/{path}", method="PUT", data=b"")).close()
    yield endpoint
    running.stop()


def test_a_key_is_what_follows_the_bucket_as_it_stands() -> None:
    assert divided("S3://shop/a b%20c?d#e.jpg") == ("s3://shop", "a b%20c?d#e.jpg")
    assert [is_object(url) for url in ("GS://b/k", "az://c", "s3:/b/k", "https://s3/b")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((f"s3://b/{key}", "a part of it is empty") for key in ("", "/a", "a//b", "a/", "a/../b", "./a")),
        *((f"s3://b/{key}", "control character, or isn't UTF-8") for key in ("a\nb", "a\x7f", "a\ud800")),
        ("s3://b/" + "ü" * 513, "longer than 1024 bytes"),
        *((url, "names no bucket; write s3://BUCKET/KEY") for url in ("s3:///a.jpg", "s3://", "s3://a:b@c/d")),
    ],
)
def test_what_is_no_key_is_told_why(url: str, why: str) -> None:
    assert why in (object_problem(url) or "")
    assert object_problem("s3://b/" + "ü" * 512) is None


@pytest.mark.parametrize("password", ["PASS", "P@SS", "P/A?S#S"])
def test_a_password_in_an_objects_url_is_not_shown(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)  # which isn't asked for it either
    with pytest.raises(errors.SettingsError, match=r"^s3://src/in/ names no bucket; write s3://BUCKET/KEY$"):
        opened(f"s3://user:{password}@src/in/")


def test_without_the_extra_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(errors.SettingsError, match=r"^s3://shop needs an extra: pip install '\.\[cloud\]'"):
        opened("s3://shop/a.jpg")


def test_an_endpoint_in_clear_is_used_near_by_only_or_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint, allowed, clear in [
        ("http://localhost:9", "", "true"),
        ("http://10.1.2.3", "", "false"),
        ("http://10.1.2.3", "true", "true"),
    ]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_ALLOW_HTTP", allowed)
        store, _ = opened("s3://shop")
        assert str(store._store.client_options["allow_http"]).lower() == clear  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "kind", "said"),
    [
        ("503-SlowDown", errors.RateLimited, r"s3://shop/503-SlowDown \(503 SlowDown\)"),
        ("500-InternalError", errors.ServerError, r"\(500 InternalError\)"),
        ("torn", errors.ConnectionFailed, r"s3://shop/torn \(no answer\)"),
        ("404-NoSuchKey", errors.SourceError, "^does not exist: s3://shop/404-NoSuchKey"),
        ("404-NoSuchBucket", errors.SettingsError, "^there is no bucket s3://shop; check its name"),
        ("403-AccessDenied", errors.SettingsError, "your keys don't allow that, or nothing is there"),
        ("301-PermanentRedirect", errors.SettingsError, "^s3://shop is in another region; set AWS_REGION to its own"),
        ("400-AuthorizationHeaderMalformed", errors.SettingsError, "another region; set AWS_REGION to eu-west-3"),
        ("400-ExpiredToken", errors.KeyRejected, r"\(400 ExpiredToken\): its keys are missing, wrong or expired; set"),
        ("403-SignatureDoesNotMatch", errors.KeyRejected, "AWS_ACCESS_KEY_ID"),
        ("418-Teapot", errors.SourceError, r"\(418 Teapot\)"),
        ("a//b", errors.SourceError, "^'a//b' is no key that can be read"),
    ],
)
async def test_each_answer_has_its_remedy_and_shows_no_key(key: str, kind: type[BatchError], said: str) -> None:
    with answering() as endpoint:
        how = {"retry_config": {"max_retries": 0}, "client_options": {"allow_http": True}}
        store = Store("s3://shop", obstore.store.from_url("s3://shop", endpoint=endpoint, **how))
        with pytest.raises(BatchError, match=said) as caught:
            await store.get(key, 100)
        assert type(caught.value) is kind
        assert SECRET not in str(caught.value)
        assert "AKIAOFSHOP" not in str(caught.value)
        if key.startswith("400-E"):  # a HEAD is answered without a word
            with pytest.raises(errors.KeyRejected):
                await store.head(key)


async def test_what_is_larger_than_the_limit_is_not_read() -> None:
    store = Store("s3://shop", obstore.store.MemoryStore())
    await store.put("a", b"1" * 10)
    assert (await store.get("a", 10))[0] == b"1" * 10
    with pytest.raises(errors.SourceError, match="larger than 0 MiB; raise --max-size"):
        await store.get("a", 9)


async def test_a_listing_begins_impatiently_and_goes_on_patiently(s3: S3) -> None:
    quick, lasting = (
        obstore.store.from_url("s3://shop", client_options={"allow_http": True}, retry_config={"max_retries": tries})
        for tries in (0, 1)
    )
    s3.objects["in/a"] = Object(b"", '"1"', {})
    s3.faults += [Fault("GET", "?list=in/", how) for how in (slow_down, keep, slow_down)]
    with pytest.raises(errors.RateLimited):
        next(Store("s3://shop", quick, lasting).listed("in"))
    assert [len(page) for page in Store("s3://shop", quick, lasting).listed("in")] == [1]
    assert (s3.failed, len(s3.seen)) == (3, 4)
    assert [*Store("s3://shop", quick).listed("nothing")] == []


async def test_moto_is_spoken_to_as_the_protocol_says(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    store, key = opened("s3://photos/in/ü b%20?#+.jpg")
    etag = await store.put(key, b"one", media="image/png", metadata={"sha256": "abc"}, over=None)
    for over in (None, '"another"'):
        with pytest.raises(errors.Taken):
            await store.put(key, b"two", over=over)
    newer = await store.put(key, b"three", media="image/png", metadata={"sha256": "abc"}, over=etag)
    data, stored = await store.get(key, 5)
    assert (data, stored.key, stored.size, stored.etag) == (b"three", key, 5, newer)
    head = await store.head(key)
    assert head is not None
    assert (head.etag, head.metadata) == (newer, {"Content-Type": "image/png", "sha256": "abc"})
    for name in ("in/b.jpg", "in/a/c.jpg", "inner/d.jpg"):
        await store.put(name, b"")
    assert [[each.key for each in page] for page in store.listed("in")] == [["in/a/c.jpg", "in/b.jpg", key]]
    assert [each.key for page in store.listed("odd") for each in page] == ["odd/a//"]
    await store.delete("in/b.jpg")
    await store.delete("in/b.jpg")
    assert await store.head("in/b.jpg") is None
    nowhere, _ = opened("s3://nowhere/a.jpg")
    for answer in (nowhere.get("a", 1), nowhere.put("a", b"")):
        with pytest.raises(errors.SettingsError, match="there is no bucket s3://nowhere"):
            await answer
    with pytest.raises(errors.SettingsError, match="there is no bucket s3://nowhere"):
        next(nowhere.listed(""))


KEYS = ("in/1.jpg", "in/a/b.jpg", "in/a0/b.jpg", "in/b/a/d.jpg", "in/b/c/d.jpg", "in/b/z.jpg", "in/c.jpg", "in/d/e.jpg")


@pytest.mark.parametrize(
    ("no_keys", "named"),
    [
        (["in//1.jpg", "in//b/2.jpg"], ["in//"]),
        (["in/./1.jpg", "in/../2.jpg", "in//"], ["in/../", "in/./", "in//"]),
        (["in/a//1.jpg", "in/a//2", "in/a/../b.jpg", "in/b/c//"], ["in/a/../", "in/a//", "in/b/c//"]),
    ],
)
@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_keys_that_are_none_end_no_listing_and_are_named(
    s3: S3, page: int, no_keys: list[str], named: list[str]
) -> None:
    s3.page = page
    for key in (*KEYS, *no_keys, "inner/a.jpg"):
        s3.objects[key] = Object(b"", '"1"', {})
    for prefix, below in (("in", [*KEYS, *named]), ("", [*KEYS, *named, "inner/a.jpg"])):
        found = [each.key for some in opened("s3://shop")[0].listed(prefix) for each in some]
        assert found == sorted(below)


PARTS = st.lists(st.sampled_from(["a", "b", "b.c", "", ".", ".."]), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.sets(PARTS.map("/".join), max_size=8), page=st.integers(1, 4))
def test_whatever_keys_there_are_each_is_listed_or_stood_for_or_the_listing_says_that_it_ends(
    s3: S3, found: set[str], page: int
) -> None:
    s3.page, s3.objects = page, {f"in/{key}": Object(b"", '"1"', {}) for key in found}
    try:
        listed = [each.key for some in opened("s3://shop")[0].listed("in") for each in some]
    except errors.SourceError as error:
        assert "is no key that can be read" in str(error)  # noqa: PT017  # this, or all that follows
        return
    folders = {key.removesuffix("/") for key in s3.objects if key.endswith("/")}  # empty objects by consoles
    good = {key for key in s3.objects if object_problem(f"s3://b/{key}") is None}
    stood = {key for key in listed if key.endswith("/")}
    assert good <= {*listed} - stood <= good | folders
    beside = tuple({key[:-1].rpartition("/")[0] + "/" for key in stood})
    assert all(key.startswith(beside) for key in {*s3.objects} - good if key[:-1] not in folders)


def test_keys_that_begin_with_a_slash_end_no_listing_either(s3: S3) -> None:
    s3.page = 2
    for key in ("/a.jpg", "/b/a.jpg", "0.jpg", "a/b.jpg", "c//d.jpg", "e.jpg"):
        s3.objects[key] = Object(b"", '"1"', {})
    found = [each.key for some in opened("s3://shop")[0].listed("") for each in some]
    assert found == ["/", "0.jpg", "a/b.jpg", "c//", "e.jpg"]


def test_a_listing_that_cannot_pass_by_a_key_names_it_with_the_remedy(s3: S3) -> None:
    for key in ("in/a.jpg", "in/a\x7fb.jpg", "in/b.jpg"):
        s3.objects[key] = Object(b"", '"1"', {})
    with pytest.raises(errors.SourceError, match=r"^'in/a\\x7fb\.jpg' is no key that can be read; rename it"):
        list(opened("s3://shop")[0].listed("in"))
