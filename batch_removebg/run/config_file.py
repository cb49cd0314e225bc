"""Options from files and variables, read by their table, each with where it stands."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import tomllib
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from batch_removebg.errors import SettingsError
from batch_removebg.net import headers
from batch_removebg.net.urls import scrubbed

from .declare import Option, declared, nearest, option
from .options import CONFIG, Options

PREFIX = "BATCH_REMOVEBG_"
_TESTS = {"BROWSER", "CASES", "CHAOS", "LONG", "RENDER_PYTHON", "REPORT", "SEED"}
_OTHERS = {"OUT", "MODELS", "CONFIG", "PROFILE"} | _TESTS
"""Variables that are no options: the program's, and those of its tests."""
_LONGEST = 1 << 20  # bytes of a file
_SECRET = re.compile(r"\br8_\w{8}|\bwhsec_\w|\bBearer \S|^[\w-]*(key|token|secret|password)=", re.IGNORECASE)
_SECRET_KEY = re.compile(r"(.*[_-])?(key|token|secret|password)", re.IGNORECASE)
_HARMLESS = re.compile(r"referer|origin|user-agent|accept(-.+)?", re.IGNORECASE)
_WRONG = (ValueError, ArgumentTypeError, SettingsError)
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list of texts"}
_DOT = r"\s*\.\s*"
Key = tuple[str | int, ...]
"""Where a value is in a document."""


class Given(NamedTuple):
    """The value of an option, and where it stands."""

    value: Any
    origin: str


Layer = Mapping[str, Given]
"""Options by their names, from one place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfJob:
    """What a [[job]] has besides options; its `name` is no template."""

    job: str = option("", "", "", flag="--name")
    inputs: tuple[str, ...] = option((), "", "", path=r"^(?!\w\w+:)")  # but no URL
    out: str = option("", "", "", path=r"^(?!\w\w+:)")
    profile: str | None = option(None, "", "")


KEYS = {one.flag[2:]: one for one in declared(Options).values() if not one.once}
"""The options by what files call them: their flags without dashes before."""
_JOB_KEYS = KEYS | {one.flag[2:]: one for one in declared(_OfJob).values()}
VARIABLES = {key.replace("-", "_").upper(): one for key, one in KEYS.items()}
"""The options by what the environment calls them, without PREFIX."""


@dataclass(frozen=True, slots=True)
class File:
    """A configuration file, each of its options checked."""

    path: Path
    options: Layer
    profiles: Mapping[str, Layer]
    jobs: Mapping[str, tuple[Layer, Layer]]  # options, with `inputs`, `out` and `profile`, and [job.notify]
    notify: Layer


def files(named: str | None, environ: Mapping[str, str]) -> list[File]:
    """The file that is named, or this folder's, then the user's, as far as they are there; raises SettingsError."""
    named = named or environ.get(f"{PREFIX}CONFIG")
    found = [parsed(Path(named), _text(Path(named), named=True))] if named else []
    others = [user_file(environ)] if named else [Path(CONFIG), user_file(environ)]
    return [*found, *(parsed(path, _text(path, named=False)) for path in others if os.path.lexists(path))]


def user_file(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where the user's own file may be."""
    places = {"darwin": "~/Library/Application Support", "win32": environ.get("APPDATA", "~/AppData/Roaming")}
    base = environ.get("XDG_CONFIG_HOME", "")
    folder = base if Path(base).is_absolute() else places.get(platform, "~/.config")
    return _expanded(folder) / "batch-removebg" / "config.toml"


def gathered(found: Sequence[File], environ: Mapping[str, str], flags: Layer, profile: str | None, job: Layer) -> Layer:
    """The options in force: flags, variables, of files the job's, the profile's, the rest; raises SettingsError."""
    profile = profile or environ.get(f"{PREFIX}PROFILE") or (job["profile"].value if "profile" in job else None)
    layers = [flags, variables(environ), job]
    layers += chain.from_iterable((file.profiles.get(profile or "", {}), file.options) for file in found)
    if profile and profile not in (known := [name for file in found for name in file.profiles]):
        where = ", ".join(str(file.path) for file in found) or "any file"
        raise SettingsError(f"there is no [profile.{profile}] in {where}{nearest(profile, known)}")
    return {name: given for layer in reversed(layers) for name, given in layer.items()}


def variables(environ: Mapping[str, str]) -> Layer:
    """The options of the environment; raises SettingsError, also for a variable that looks like one and is none."""
    found = dict[str, Given]()
    for name, text in environ.items():
        if not name.startswith(PREFIX) or (word := name.removeprefix(PREFIX)) in _OTHERS or not text:
            continue
        if (one := VARIABLES.get(word)) is None:
            raise SettingsError(f"{name}: unset or correct it: there is no option {word}{nearest(word, VARIABLES)}")
        try:
            listed = one.collect and re.match(r'\s*\[\s*["\]]', text)
            found[one.name] = Given(_checked(one, json.loads(text) if listed else text, strict=False), name)
        except _WRONG as error:
            raise SettingsError(f"{name}: {_plain(error)}") from None
    return found


def _checked(one: Option, value: Any, *, strict: bool = True) -> Any:
    """A value of TOML, or a text, as the option has it; raises what `_WRONG` says."""
    assert one.read is not None  # noqa: S101  # `declared` sees to it
    kind = list[str] if one.collect else bool if one.default is False else one.read if one.read in (int, float) else str
    if one.collect and isinstance(value, str):
        value = [value]
    elif kind is str is not one.read and type(value) is int:
        value = str(value)
    try:
        value = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        what = _TYPES.get(str(error).split("`")[1], "a text")
        raise ValueError(f"give {what}; texts stand in quotes, numbers and true and false don't") from None
    value = one.collect(list(map(one.read, value))) if one.collect else one.read(value) if kind is str else value
    one.check(value)
    return value


def parsed(path: Path, text: str) -> File:
    """What a file says; raises SettingsError with its line and a remedy."""
    document, jobs = _Document(path, text), dict[str, tuple[Layer, Layer]]()
    document.refuse_secrets()
    profiles, listed = document.table.get("profile", {}), document.table.get("job", [])
    for key, kind, tables in (("profile", dict, profiles), ("job", list, listed)):
        each = tables.values() if isinstance(tables, dict) else tables
        if not isinstance(tables, kind) or not all(isinstance(one, dict) for one in each):
            raise document.fault((key,), "write [profile.NAME] and [[job]], each with its options below")
    for nth, each in enumerate(listed):
        at: Key = ("job", nth)
        job, notify = document.options(each, at, _JOB_KEYS, ("notify",)), document.notify(each, at)
        for key, name in (("name", "job"), ("inputs", "inputs"), ("out", "out")):
            if name not in job or not job[name].value or not all(job[name].value):
                raise document.fault((*at, key), "each [[job]] needs name, inputs and out")
            # Two jobs over one OUT would each take the other's items for gone.
            if key != "inputs" and any(job[name].value == other[name].value for other, _ in jobs.values()):
                raise document.fault((*at, key), "is another job's already: give each its own")
        if not re.fullmatch(r"[\w.-]+", name := job["job"].value):
            raise document.fault(
                (*at, "name"), "is the job's: letters, digits, . and -; pictures are named in profiles"
            )
        jobs[name] = job, {**document.notify(document.table, ()), **notify}
    layers = {name: document.options(each, ("profile", name), KEYS) for name, each in profiles.items()}
    options = document.options(document.table, (), KEYS, ("profile", "job", "notify"))
    return File(path, options, layers, jobs, document.notify(document.table, ()))


def _text(path: Path, *, named: bool) -> str:
    """What is in a file that nobody else decides about."""
    rest = "; correct that, or leave all files out with --no-config"
    try:  # a pipe isn't waited for
        with open(path, "rb", opener=lambda name, how: os.open(name, how | getattr(os, "O_NONBLOCK", 0))) as file:
            status = os.fstat(file.fileno())
            raw = file.read(_LONGEST + 1) if stat.S_ISREG(status.st_mode) else b""
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}{rest}") from None
    if not stat.S_ISREG(status.st_mode) or len(raw) > _LONGEST:
        raise SettingsError(f"{path} is no file of settings, or longer than 1 MiB{rest}")
    if hasattr(os, "getuid") and not named and status.st_uid not in (0, os.getuid()):
        raise SettingsError(f"{path} is another user's, who would decide about your runs: name it by --config{rest}")
    if hasattr(os, "getuid") and status.st_mode & stat.S_IWOTH:
        raise SettingsError(f"{path} can be written by everybody: chmod o-w it{rest}")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: is not UTF-8; save it in that encoding") from None


class _Document:
    """A TOML file that is read; raises SettingsError where it isn't one, as its methods do for what is in it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        try:
            self.table = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            found = re.fullmatch(r"(.*) \(at (?:line (\d+), (column \d+)|(end of document))\)", str(error), re.DOTALL)
            what, line, *column = found.groups() if found else (str(error), None)
            where = f"{path}:{line or text.count(chr(10)) + 1}"
            remedy = "write KEY = VALUE, texts in quotes, each key and each table once"
            raise SettingsError(f"{where}: {', '.join(filter(None, [what, *column]))}; {remedy}") from None

    def at(self, *key: str | int) -> str:
        """File and line of a key."""
        return f"{self._path}:{_line(self._text, key)}"

    def fault(self, key: Key, what: str) -> SettingsError:
        return SettingsError(f"{self.at(*key)}: {key[-1]}: {what}")

    def refuse_secrets(self) -> None:
        for key, value in _nodes(self.table):
            key = key[:-1] if isinstance(key[-1], int) else key  # of a list
            if not isinstance(value, str) or value.startswith(("env:", "file:")):
                continue
            if _SECRET_KEY.fullmatch(str(key[-1])) or _SECRET.search(value) or scrubbed(value) != value:
                remedy = 'put it into an environment variable, and name that: token-env = "NAME", "HEADER: env:NAME"'
                raise self.fault(key, f"a secret doesn't belong in a file; {remedy}")

    def options(
        self, table: Mapping[str, Any], at: Key, known: Mapping[str, Option], more: Sequence[str] = ()
    ) -> Layer:
        """The options in one; `more`: what else may be there."""
        found = {}
        for key in (key for key in table if key not in more):
            if key not in known:
                raise self.fault((*at, key), _unknown(key, (*known, *more)))
            try:
                value = self._own(known[key], _checked(known[key], table[key]))
            except _WRONG as error:
                raise self.fault((*at, key), _plain(error)) from None
            found[known[key].name] = Given(value, self.at(*at, key))
        return found

    def _own(self, one: Option, value: Any) -> Any:
        """A value as it is meant in this file: its paths begin here."""
        for each in value if one.name == "header" else ():
            _, name, text = headers.parse(each)
            if not (text.startswith("env:") or _HARMLESS.fullmatch(name)):
                raise ValueError(f"what {name} holds may be a secret: write '{name}: env:VARIABLE'")
        if one.name == "include" and any(each.endswith(".toml") for each in value):
            raise ValueError("chooses pictures; no file takes in another one: write all into one")
        placed = [self._placed(each, one.path) for each in (value if one.collect else [value])] if one.path else []
        return (tuple(placed) if one.collect else placed[0]) if placed else value

    def _placed(self, value: str, which: str) -> str:
        path = value not in ("", "-") and re.search(which, value, re.IGNORECASE)
        return str(self._path.parent / _expanded(value)) if path else value

    def notify(self, table: Mapping[str, Any], at: Key) -> Layer:
        """The keys of [notify], whose values `notify.rules` checks."""
        if not isinstance(found := table.get("notify", {}), dict):
            raise self.fault((*at, "notify"), "write [notify], and its keys below")
        return {key: Given(value, self.at(*at, "notify", key)) for key, value in found.items()}


def _unknown(key: str, known: Sequence[str]) -> str:
    if key in ("inputs", "out"):
        return "stands in a [[job]]; a run has it on the command line"
    if any(one.flag == f"--{key}" for one in declared(Options).values()):
        return f"is for one run, not for all: give that --{key}"
    return f"there is no such option{nearest(key, known) or '; `batch-removebg config init -` shows all'}"


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  # where there is no home, as it is


def _plain(error: Exception) -> str:
    """What is wrong with a value, without the flag, in whose place its key is named."""
    return re.sub(r"^--[\w-]+:? ", "", str(error))


def _nodes(node: Any, at: Key = ()) -> Iterator[tuple[Key, Any]]:
    """All that is in a document, each with its path."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*at, key), value
        yield from _nodes(value, (*at, key))


def _line(text: str, key: Key) -> int:
    """The line of a key, or of the table that it would be in."""
    here, counts, found = Key(), Counter[str | int](), 1
    for number, line in enumerate(text.split("\n"), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line):
            first, *more = (part.strip(" '\"") for part in header[2].split("."))
            counts[first] += header[1] == "[["
            here = (first, counts[first] - 1, *more) if counts[first] else (first, *more)
            found = number if here == key[: len(here)] else found
        elif here == key[: len(here)] and key[len(here) :]:
            words = (rf"['\"]?{re.escape(str(part))}['\"]?" for part in key[len(here) :])
            if re.match(rf"\s*{_DOT.join(words)}\s*[=.]", line):
                return number
    return found
