"""`[notify]`: who is told of a run, and of which ones."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, ValidationError, convert
from msgspec.structs import fields, replace

from batch_removebg.errors import INSTALL, SettingsError

FINE = (0, 5)  # exit codes that are no failure: all is saved, or the time for it is over until the next run
_LISTS = {"on", "apprise"}  # of which one alone may be a text
_RULES = "'failure', 'flagged', 'change' or 'always'"
Rule = Literal["failure", "flagged", "change", "always"]


class Notify(Struct, frozen=True, rename="kebab"):
    """Who is told, and when; all that may be a secret is a name, `env:NAME` or `file:PATH`."""

    on: tuple[Rule, ...] = ("failure",)
    apprise: tuple[str, ...] = ()
    webhook: str | None = None
    webhook_secret: str | None = None
    command: tuple[str, ...] = ()
    ping: str | None = None


def wanted(rules: Collection[str], *, failed: bool, flagged: bool, changed: bool) -> bool:
    """Whether people are to be told of a run."""
    met = {"failure": failed, "flagged": flagged, "change": changed, "always": True}
    return any(met[rule] for rule in rules)


def parse(table: Mapping[str, object], folder: Path = Path()) -> Notify:
    """`[notify]` of a file in `folder`; raises SettingsError, whose text begins with the key, for what can't be right.

    Everything that is named must be there now.
    """
    names = [field.encode_name for field in fields(Notify)]
    if unknown := next((key for key in table if key not in names), None):
        nearest = get_close_matches(unknown, names, 1)
        raise SettingsError(f"{unknown}: there is no such key{f'; did you mean {nearest[0]}?' if nearest else ''}")
    for key in _LISTS & table.keys():
        table = {**table, key: [table[key]] if isinstance(table[key], str) else table[key]}
    try:
        given = convert(table, Notify)
    except ValidationError as error:
        what, _, where = str(error).rpartition(" - at `$.")
        key = re.split(r"[`[]", where)[0]
        raise SettingsError(f"{key}: {what}{f'; write {_RULES}' * (key == 'on')}") from None
    placed = partial(_placed, folder=folder)
    notify = replace(
        given,
        apprise=tuple(placed("apprise", one) for one in given.apprise),
        webhook=given.webhook and placed("webhook", given.webhook, url),
        webhook_secret=given.webhook_secret and placed("webhook-secret", given.webhook_secret, signing_key),
        ping=given.ping and placed("ping", given.ping, url),
    )
    if given.command and os.path.dirname(given.command[0]):  # noqa: PTH120  # `./tell` is more than `tell`
        notify = replace(notify, command=(str(folder / given.command[0]), *given.command[1:]))
    if notify.webhook and not notify.webhook_secret:
        raise SettingsError("webhook: it needs webhook-secret as well, such as 'env:WEBHOOK_SECRET'")
    if notify.apprise and find_spec("apprise") is None:
        raise SettingsError(f"apprise: the package is missing; bring it by: {INSTALL.format('notify')}")
    return notify


def _placed(key: str, name: str, holds: Callable[[str], object] | None = None, *, folder: Path) -> str:
    """`env:NAME`, or `file:PATH` with the whole path; raises SettingsError where what it holds won't do."""
    kind, _, rest = name.partition(":")
    if kind not in ("env", "file") or not rest:
        raise SettingsError(
            f"{key}: a secret doesn't belong in a file; write 'env:NAME' for a variable of the environment, "
            "or 'file:PATH' for a file that holds it"
        )
    name = name if kind == "env" else f"file:{folder / Path(os.path.expandvars(rest)).expanduser()}"
    try:
        (holds or secret)(name)
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
