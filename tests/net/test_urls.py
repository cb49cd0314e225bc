"""What is left out of URLs where they identify pictures or are shown, and what never is."""

from __future__ import annotations

import time

import pytest

from batch_removebg.net.urls import clean, host_of, scrubbed

AT = "https://cdn.example/shoes/a%2Fb.jpg"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4&X-Amz-Credential=AK%2F2026&X-Amz-Expires=60&X-Amz-Signature=feed&X-Amz-Security-Token=t",
        "x-amz-signature=feed",
        "AWSAccessKeyId=AK&Signature=fe%2Fed%3D&Expires=1790000000",
        "Expires=1790000000&Signature=feed~&Key-Pair-Id=APKA",
        "Policy=eyJTdGF0ZW1lbnQi&Signature=feed&Key-Pair-Id=APKA",
        "GoogleAccessId=a%40b&Expires=1790000000&Signature=feed",
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date=20260101T000000Z&X-Goog-Signature=feed",
        "sv=2022-11-02&st=2026-01-01T00%3A00%3A00Z&se=2026-01-02T00%3A00%3A00Z&sr=b&sp=r&spr=https&sig=fe%2Bed",
        "OSSAccessKeyId=AK&Expires=1790000000&Signature=feed",
        "x-oss-signature-version=OSS4&x-oss-credential=AK&x-oss-date=20260101&x-oss-expires=60&x-oss-signature=feed",
        "q-sign-algorithm=sha1&q-ak=AK&q-sign-time=1;2&q-key-time=1;2&q-header-list=host&q-url-param-list=&q-signature=f",
        "hdnts=exp=1790000000~acl=/*~hmac=feed",
        "token=exp=1790000000~acl=/*~hmac=feed",
        "token=HS256-feed&token_path=%2Fshoes%2F&expires=1790000000",
        "md5=Ab3-dEfGh_jKlMnOpQrStu&expires=1790000000",
        "h=0123456789abcdef0123456789abcdef&e=1790000000",
        "hash=0123456789abcdef0123456789abcdef&validTo=1790000000",
        "timestamp=1790000000&nonce=7&sign=feed",
        "ts=1790000000&signature=feed",
        "policy=eyJTdGF0ZW1lbnQiOlt7IlJl&signature=feed&st=1780000000&expires=1790000000",
        "verify=1790000000-fe%2Bed%3D",
        "tempauth=feed",
        "access_key=feed&jwt=feed&password=feed",
        "signature=feed",
        "sig=fe%2Fed%3D&se=2026-01-02T00%3A00%3A00Z",
        "e=1790000000&token=AK:feed",
        "auth_key=1790000000-0-0-0123456789abcdef0123456789abcdef",
        "token=eyJhbGciOiJIUzI1NiJ9.eyJ1cmwiOiJhIn0.feed",
        "ex=66aa&is=66bb&hm=feed",
        "access_token=feed",
    ],
)
def test_what_signs_a_url_is_left_out_and_what_tells_pictures_apart_stays_as_it_is_spelled(query: str) -> None:
    assert clean(f"{AT}?{query}") == AT
    assert clean(f"{AT}?v=%41&{query}&size=2%2C3#top") == f"{AT}?v=%41&size=2%2C3#top"
    assert scrubbed(f"GET ({AT}?{query.replace('&', '&amp;')}&amp;v=1): 403") == f"GET ({AT}?v=1): 403"


@pytest.mark.parametrize(
    "query",
    ["v=1700000000", "id=7&token=abc", "token=abc", "expires=never&token=a", "x-oss-process=image%2Fresize,w_9", "s=9",
     "s=10&e=1893456000", "t=10&expires=1893456000", "keyname=a&expires=20300101", "policy=a&exp=1893456000",
     "key=photos/shoe0.jpg&expires=1893456000", "hash=0123456789abcdef&ts=1700000000", "token=a&ts=1700000000",
     "ts=1700000000&expires=1893456000", "se=3&sr=4", "oe=1&oh=2"],
)  # fmt: skip
def test_a_parameter_that_may_tell_pictures_apart_stays(query: str) -> None:
    assert clean(f"{AT}?{query}") == f"{AT}?{query}"


@pytest.mark.parametrize("name", ["key=photos/1.jpg", "s=1", "t=big", f"md5={'0f' * 16}", "policy=a"])
def test_what_stands_beside_a_signature_and_is_none_itself_stays(name: str) -> None:
    assert clean(f"{AT}?{name}&expires=1893456000&signature=feed") == f"{AT}?{name}"
    assert clean(f"{AT}?alt=media&{name}&token=feed") == f"{AT}?alt=media&{name}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("//me:p@ss@cdn.example/a.jpg?X-Amz-Signature=f&v=1", "//cdn.example/a.jpg?v=1"),
        ("www.me:pass@cdn.example/a.jpg", "cdn.example/a.jpg"),
        ("cdn.example/a.jpg?v=1&X-Amz-Signature=f", "cdn.example/a.jpg?v=1"),
        ("p//me@2x.jpg", "p//me@2x.jpg"),
        ("//cdn.example/@2x.jpg", "//cdn.example/@2x.jpg"),
    ],
)
def test_a_url_without_a_scheme_is_cleaned_too_and_a_path_is_none(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert scrubbed(f"not found: '{text}', 'x'") == f"not found: '{shown}', 'x'"


def test_a_password_is_left_out_and_so_is_what_the_user_names_whatever_its_case() -> None:
    assert clean("https://me:p%40ss@cdn.example/a.jpg") == "https://cdn.example/a.jpg"
    assert clean(f"{AT}?Session=1&v=2&sessions=3", {"session"}) == f"{AT}?v=2&sessions=3"
    assert clean("me@shop.example?sig=1") == "me@shop.example?sig=1"  # an id, and no URL


def test_a_cell_with_several_urls_keeps_each_of_them() -> None:
    cell = f"{AT}?X-Amz-Signature=1,{AT}?v=2&X-Amz-Signature=2|{AT}"
    assert scrubbed(cell) == f"{AT},{AT}?v=2|{AT}"


@pytest.mark.parametrize("scheme", ["s3", "GS", "az"])
def test_the_key_of_an_object_stays_as_it_is(scheme: str) -> None:
    url = f"{scheme}://shop/a@2x.jpg?sig=1&X-Amz-Signature=2&v=3#b?token=4"
    assert clean(url, {"v"}) == url
    assert scrubbed(f"not found: ({url})") == f"not found: ({url})"
    for user in ("me:pass@", "me:p/a?s#s@", "me@"):
        assert clean(f"{scheme}://{user}shop/a?sig=1") == f"{scheme}://shop/a?sig=1"


def test_a_long_text_takes_no_longer_than_its_length_asks_for() -> None:
    begun = time.process_time()
    scrubbed("x" * 500_000 + "?" + "&" * 10_000)
    assert time.process_time() - begun < 5  # by the square it would be minutes


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:w0rd@Img.example/a.jpg", "img.example"), ("http://img.example:81/b.jpg", "img.example:81"),
        ("data:,x", ""), ("http://[::1/a", ""),
    ],
)  # fmt: skip
def test_a_host_is_known_by_name_and_port_without_its_password(url: str, host: str) -> None:
    assert host_of(url) == host
