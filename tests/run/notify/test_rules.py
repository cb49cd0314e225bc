"""[notify]: what may stand there, and what is refused before a run begins."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from batch_removebg.errors import SettingsError
from batch_removebg.run.notify.rules import Notify, parse

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example/c4n4ry")
    monkeypatch.setenv("SIGNING", SECRET)
    monkeypatch.setenv("WORD", "c4n4ry")
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "ping").write_text("https://ping.example/c4n4ry\n")


def test_a_whole_table_is_understood_with_paths_relative_to_its_file(tmp_path: Path) -> None:
    table = {
        "on": ["change", "flagged"],
        "webhook": "env:HOOK",
        "webhook-secret": "env:SIGNING",
        "command": ["bin/tell", "--all"],
        "ping": "file:ping",
    }
    expected = Notify(
        on=("change", "flagged"),
        webhook="env:HOOK",
        webhook_secret="env:SIGNING",
        command=(str(tmp_path / "bin/tell"), "--all"),
        ping=f"file:{tmp_path / 'ping'}",
    )
    assert parse(table, tmp_path) == expected
    assert parse({"on": "always", "ping": "file:$CREDENTIALS_DIRECTORY/ping"}).ping == f"file:{tmp_path / 'ping'}"
    assert parse({}) == Notify(on=("failure",))


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "unknown": ({"web-hook": "env:HOOK"}, "web-hook: there is no such key; did you mean webhook?"),
    "rule": ({"on": ["success"]}, "on: Invalid enum value 'success'; write 'failure', 'flagged', 'change' or 'always'"),
    "type": ({"ping": 7}, "ping: Expected `str | null`, got `int`"),
    "two": ({"ping": ["env:HOOK", "env:HOOK"]}, "ping: Expected `str | null`, got `array`"),
    "shell": ({"command": "mail boss"}, "command: Expected `array`, got `str`"),
    "literal": ({"ping": "https://ping.example/c4n4ry"}, "ping: a secret doesn't belong in a file; write 'env:NAME'"),
    "unset": ({"ping": "env:NOWHERE"}, "ping: env:NOWHERE is not set"),
    "empty": ({"ping": "env:EMPTY"}, "ping: env:EMPTY is not set"),
    "no-file": ({"ping": "file:/nowhere"}, "ping: file:/nowhere can't be read, or is empty"),
    "no-url": ({"ping": "env:WORD"}, "ping: env:WORD holds no http(s) URL"),
    "unsigned": ({"webhook": "env:HOOK"}, "webhook: it needs webhook-secret as well"),
    "short": (
        {"webhook": "env:HOOK", "webhook-secret": "env:WORD"},
        "webhook-secret: env:WORD holds no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in Base64",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_can_not_be_right_is_refused_by_its_key_without_a_secret(fault: str) -> None:
    table, text = REFUSED[fault]
    with pytest.raises(SettingsError) as refused:
        parse(table)
    assert str(refused.value).startswith(text)
    assert "c4n4ry" not in str(refused.value)


def test_apprise_without_its_package_is_refused_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_removebg.run.notify.rules.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"apprise: .*\[notify\]"):
        parse({"apprise": "env:HOOK"})
