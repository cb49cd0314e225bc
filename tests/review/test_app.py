"""Nobody but the browser that got the address sees anything, and no page but ours changes anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from anyio import connect_tcp

from batch_removebg.review import pictures
from batch_removebg.review.app import HEADERS, Access
from tests.support.bench import Bench, bench
from tests.support.doubles import photo
from tests.support.review import Page, served

__all__ = ["bench"]
pytestmark = pytest.mark.anyio
REJECT = {"items": [1], "verdict": "rejected"}


@pytest.fixture
async def out(bench: Bench) -> Path:
    bench.add("a.jpg", "b.jpg")
    assert (await bench.run()).exit_code == 0
    return bench.out


async def refused(page: Page, out: Path, status: int, **headers: str) -> None:
    """A verdict isn't taken, and nothing is written."""
    await page.post("/api/decisions", REJECT, status, **headers)
    assert not (out / "decisions.jsonl").exists()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5056", "127.0.0.1.evil.example", "169.254.169.254"])
async def test_a_name_that_is_not_this_machines_is_answered_by_nothing(out: Path, host: str) -> None:
    async with served(out) as page:
        for path in ("/", "/page/main.js", "/api/about", "/thumb/1/cutout/0", "/picture/1/source"):
            assert list(await page.get(path, 403, Host=host)) == ["error"]
        await refused(page, out, 403, Host=host)


async def test_without_the_cookie_only_the_page_itself_is_there(out: Path) -> None:
    async with served(out, known=False) as page:
        await page.get("/")
        await page.get("/page/style.css")
        for path in ("/api/about", "/api/view", "/api/item/1", "/thumb/1/cutout/0", "/picture/1/cutout"):
            await page.get(path, 401)
        await refused(page, out, 401)


async def test_the_address_lets_one_browser_in_once(out: Path) -> None:
    async with served(out, known=False) as page:
        await page.get("/?token=guessed", 403)
        address = f"/?token={page.access.key}"
        answer = await page.client.get(address, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        [cookie] = answer.cookies.values()
        assert cookie.key == f"review-{page.base.rpartition(':')[2]}"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert cookie.value not in address
        await page.get("/api/about")
        assert (await page.client.get(address, allow_redirects=False)).headers["Location"] == "/"
        page.client.cookie_jar.clear()
        assert b"<h1>This address was used already" in await page.get(address, 403)
        await page.get("/?token=", 403)
        await page.get("/api/about", 401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Review-Token": ""}, 403),
        ({"X-Review-Token": "guessed"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_a_change_comes_from_our_own_page_alone(out: Path, headers: dict[str, str], status: int) -> None:
    async with served(out) as page:
        await refused(page, out, status, **headers)
        await page.post("/api/decisions", REJECT, **{"Origin": page.base, "Sec-Fetch-Site": "same-origin"})


async def test_another_page_of_this_machine_gets_no_pictures(out: Path) -> None:
    async with served(out) as page:
        for site in ("same-site", "cross-site"):
            await page.get("/picture/1/cutout", 403, **{"Sec-Fetch-Site": site})
        await page.get("/picture/1/cutout", **{"Sec-Fetch-Site": "same-origin"})


async def test_every_answer_forbids_scripts_of_others_and_embedding_and_none_invites_other_sites(out: Path) -> None:
    async with served(out) as page:
        for path in (
            "/",
            "/page/main.js",
            "/api/about",
            "/picture/1/cutout",
            "/nowhere",
            "/api/item/9",
            "/api/view?x=1",
        ):
            answer = await page.client.get(path, headers={"Origin": page.base})
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" " * (1 << 20) + b"{}", 413),
        (b"[" * 100_000, 400),
        ({"items": [1], "verdict": "perfect"}, 400),
        ({"items": [1], "view": "x", "verdict": "accepted"}, 400),
        ({"verdict": "accepted"}, 400),
        ({"items": [1], "verdict": "redo", "redo": {"out": "/etc"}}, 400),
        ({"items": [1], "verdict": "accepted", "redo": {"class": "best"}}, 400),
        ({"items": [1], "verdict": "redo", "redo": {"class": "best", "model": "isnet"}}, 400),
        ({"items": [1], "verdict": "accepted", "by": "me"}, 400),
        ({"view": "gone-1", "verdict": "accepted"}, 410),
    ],
)
async def test_a_body_that_is_too_large_or_makes_no_sense_changes_nothing(out: Path, body: Any, status: int) -> None:
    async with served(out) as page:
        assert list(await page.post("/api/decisions", body, status)) == ["error"]
        assert not (out / "decisions.jsonl").exists()


@pytest.mark.parametrize("name", ["../app.py", "..%2Fapp.py", "%2e%2e/app.py", "/etc/passwd", "texts/../../app.py", ""])
async def test_of_the_package_only_the_pages_own_files_are_served(out: Path, name: str) -> None:
    async with served(out) as page:
        await page.get(f"/page/{name}", 404)


async def test_a_picture_that_a_link_leads_out_to_is_not_shown(out: Path, tmp_path: Path) -> None:
    async with served(out) as page:
        cutout = out / "a.png"
        (tmp_path / "secret.png").write_bytes(cutout.read_bytes())
        cutout.unlink()
        cutout.symlink_to(tmp_path / "secret.png")
        n = await page.number("a.jpg")
        assert (await page.get(f"/api/item/{n}"))["missing"]
        for path in (f"/thumb/{n}/cutout/0", f"/picture/{n}/cutout"):
            assert "is gone, or was changed" in (await page.get(path, 404))["error"]


async def test_a_drawing_with_scripts_is_never_passed_on(out: Path) -> None:
    async with served(out) as page:
        n = await page.number("a.jpg")
        [_, _, state] = page.desk.items.several([n])[0]
        state.source_sha256 = None
        Path(state.source).write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
        data = page.desk.pictures.source(state)
    with pytest.raises(Exception, match="is not a picture"):
        pictures.shown(data, None, True)


async def test_too_many_pictures_at_a_time_are_asked_for_later(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_WAITING", 0)
    async with served(out) as page:
        answer = await page.client.get("/thumb/1/cutout/0")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_for_other_machines_the_key_is_asked_for_again_and_again(out: Path) -> None:
    async with served(out, Access("their key", lasting=True), known=False) as page:
        await page.get("/", 401, Host="review.example")
        await page.get("/page/main.js", 401, Host="review.example")
        for _ in range(2):
            page.client.cookie_jar.clear()
            await page.get("/api/about", 401)
            await page.get("/?token=their+key", 303)
            await page.get("/api/about", Host="review.example")


async def test_views_that_nobody_asks_for_any_more_are_forgotten(out: Path) -> None:
    async with served(out) as page:
        first = (await page.get("/api/view"))["view"]
        for _ in range(16):
            await page.get("/api/view?sort=bytes")
        assert "ask for it again" in (await page.get(f"/api/view/{first}/items", 410))["error"]


async def test_a_request_that_breaks_http_is_refused_and_logged_as_no_bug(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(out) as page, await connect_tcp("127.0.0.1", int(page.base.rpartition(":")[2])) as stream:
        await stream.send(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 400 " in await stream.receive()
    assert caplog.records == []


async def test_no_key_is_in_what_is_shown_of_them() -> None:
    access = Access("their key", lasting=True)
    assert not [secret for secret in (access.key, access.session, access.change) if secret in repr(access)]


async def test_an_out_that_is_gone_is_said_and_the_server_goes_on(out: Path, tmp_path: Path) -> None:
    async with served(out) as page:
        await page.get("/api/about")
        out.rename(tmp_path / "elsewhere")
        assert "is gone; bring the folder back" in (await page.get("/api/changes?since=0", 503))["error"]
        await page.post("/api/decisions", REJECT, 403)
        assert not out.exists()
        (tmp_path / "elsewhere").rename(out)
        await page.get("/api/changes?since=0")


async def test_where_out_cannot_be_written_it_is_looked_at_alone(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    async with served(out) as page:
        assert (await page.get("/api/about"))["read_only"]
        await refused(page, out, 403)
        await page.post("/api/item/1/touch-up", {"base": "x", "operations": []}, 403)


async def test_a_damaged_ledger_is_said_by_every_answer(out: Path) -> None:
    with (out / "ledger.jsonl").open("ab") as file:
        file.write(b"no line\n")
    async with served(out, known=True) as page:
        assert "is damaged" in (await page.get("/api/about", 503))["error"]


async def test_a_changed_source_and_one_at_a_url_are_told_apart(bench: Bench, out: Path) -> None:
    async with served(out) as page:
        n = await page.number("a.jpg")
        (bench.photos / "a.jpg").write_bytes(photo(9, 9))
        assert "was changed since" in (await page.get(f"/picture/{n}/source", 404))["error"]
        (bench.photos / "a.jpg").unlink()
        assert "is gone" in (await page.get(f"/picture/{n}/source", 404))["error"]
        await page.get(f"/picture/{n}/bare")  # of what is left: the cutout
        [_, _, state] = page.desk.items.several([n])[0]
        state.source = "https://shop.example/a.jpg"
        with pytest.raises(Exception, match="the source is at https://shop"):
            page.desk.pictures.source(state)
