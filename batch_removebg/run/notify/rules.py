"""`[notify]`: who is told of a run, and of which ones."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from batch_removebg.errors import INSTALL, SettingsError

FINE = (0, 5)  # exit codes that are no failure: all is saved, or the time for it is over until the next run
RULES = ("failure", "flagged", "change", "always")
_LISTS = ("on", "apprise", "command")


@dataclass(frozen=True, slots=True)
class Notify:
    """Who is told, and when; all that may be a secret is a name, `env:NAME` or `file:PATH`."""

    on: tuple[str, ...] = ("failure",)
    apprise: tuple[str, ...] = ()
    webhook: str | None = None
    webhook_secret: str | None = None
    command: tuple[str, ...] = ()
    ping: str | None = None


def wanted(on: Sequence[str], *, failed: bool, flagged: bool, changed: bool) -> bool:
    """Whether people are to be told of a run by these rules."""
    met = {"failure": failed, "flagged": flagged, "change": changed, "always": True}
    return any(met[rule] for rule in on)


def parse(table: Mapping[str, object], folder: Path = Path()) -> Notify:
    """`[notify]` of a file in `folder`; raises SettingsError, whose text begins with the key, for what can't be right.

    Everything that is named must be there now.
    """
    names = {field.name.replace("_", "-"): field.name for field in fields(Notify)}
    given = dict[str, object]()
    for key, value in table.items():
        if key not in names:
            nearest = get_close_matches(key, names, 1)
            raise SettingsError(f"{key}: there is no such key{f'; did you mean {nearest[0]}?' if nearest else ''}")
        listed = [value] if isinstance(value, str) and key != "command" else value
        if not isinstance(listed, list) or not listed or not all(isinstance(one, str) and one for one in listed):
            raise SettingsError(f"{key}: write {'a list of texts' if key in _LISTS else 'a text'}")
        if key not in _LISTS and len(listed) > 1:
            raise SettingsError(f"{key}: write one text")
        if key == "on" and (wrong := [one for one in listed if one not in RULES]):
            raise SettingsError(f"on: {wrong[0]!r} is none of {', '.join(RULES)}")
        if key == "command" and os.path.dirname(listed[0]):  # noqa: PTH120  # `./tell` is more than `tell`
            listed = [str(folder / listed[0]), *listed[1:]]
        elif key not in ("on", "command"):
            listed = [_placed(key, one, folder) for one in listed]
        given[names[key]] = tuple(listed) if key in _LISTS else listed[0]
    notify = Notify(**given)  # type: ignore[arg-type]  # checked above
    if notify.webhook and not notify.webhook_secret:
        raise SettingsError("webhook: it needs webhook-secret as well, such as 'env:WEBHOOK_SECRET'")
    if notify.apprise and find_spec("apprise") is None:
        raise SettingsError(f"apprise: the package is missing; bring it by: {INSTALL.format('notify')}")
    return notify


def _placed(key: str, name: str, folder: Path) -> str:
    """`env:NAME`, or `file:PATH` with the whole path; raises SettingsError where what it holds won't do."""
    kind, _, rest = name.partition(":")
    if kind not in ("env", "file") or not rest:
        raise SettingsError(
            f"{key}: a secret doesn't belong in a file; write 'env:NAME' for a variable of the environment, "
            "or 'file:PATH' for a file that holds it"
        )
    if kind == "file":
        name = f"file:{folder / Path(os.path.expandvars(rest)).expanduser()}"
    try:
        if key in ("webhook", "ping"):
            url(name)
        elif key == "webhook-secret":
            signing_key(name)
        else:
            secret(name)
    except SettingsError as error:
        raise SettingsError(f"{key}: {error}") from None
    return name


def secret(name: str) -> str:
    """What `env:NAME` or `file:PATH` holds now; raises SettingsError where that is nothing."""
    kind, _, rest = name.partition(":")
    try:
        held = (os.environ.get(rest, "") if kind == "env" else Path(rest).read_text(encoding="utf-8")).strip()
    except (OSError, ValueError):
        held = ""
    if not held:
        problem = "is not set" if kind == "env" else "can't be read, or is empty"
        raise SettingsError(f"{name} {problem}")
    return held


def url(name: str) -> str:
    """The http(s) URL that it holds; raises SettingsError, as all do here without what it holds."""
    held = secret(name)
    with suppress(ValueError):
        parts = urlsplit(held)
        if parts.scheme in ("http", "https") and parts.hostname:
            return held
    raise SettingsError(f"{name} holds no http(s) URL")


def signing_key(name: str) -> bytes:
    """The bytes of the secret that it holds."""
    with suppress(ValueError):
        key = base64.b64decode((text := secret(name).removeprefix("whsec_")) + "=" * (-len(text) % 4), validate=True)
        if 24 <= len(key) <= 64:
            return key
    raise SettingsError(f"{name} holds no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in Base64")
