"""Where a command's options are from: its flags, the environment, files; `config show` and `config init`."""

from __future__ import annotations

import argparse
import json
import os
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from batch_removebg.errors import DiskError, SettingsError
from batch_removebg.net.headers import parse as header
from batch_removebg.net.urls import scrubbed
from batch_removebg.run.config_file import KEYS, PREFIX, File, Given, Layer, files, gathered, parsed
from batch_removebg.run.declare import Option, declared, nearest
from batch_removebg.run.night import Extras, extras
from batch_removebg.run.notify.notifier import Notifier
from batch_removebg.run.notify.rules import Notify, parse, secret
from batch_removebg.run.options import CONFIG, Options
from batch_removebg.run.place import named
from batch_removebg.run.settings import Settings

from . import report
from .console import result, table

Job = tuple[Layer, Layer]  # its options, and its [notify]
_NO_JOB: Job = ({}, {})
_HEAD = f"""\
# {CONFIG}: options for every run in this folder. Flags win over it, and so do variables such as {PREFIX}MAX_COST.
# Paths are relative to this file. A secret has no place in it: name the variable that holds it."""
_FOOT = """
# What differs in `run --profile catalogue`, and a job of `batch-removebg jobs`; each with its options below:
#[profile.catalogue]
#[[job]]
#name = "catalogue"
#inputs = ["products.csv"]
#out = "cutouts"
#profile = "catalogue\""""


def found(args: argparse.Namespace) -> list[File]:
    """The files that count for a command; raises SettingsError."""
    return [] if args.no_config else files(args.config, os.environ)


def jobs(read: Sequence[File], names: Sequence[str]) -> dict[str, Job]:
    """The jobs of those names, or all; raises SettingsError."""
    known = next((file.jobs for file in read if file.jobs), {})
    if not known:
        where = ", ".join(str(file.path) for file in read) or CONFIG
        raise SettingsError(f"there is no [[job]] in {where}; write one, or name another file with --config")
    for name in (name for name in names if name not in known):
        raise SettingsError(f"there is no job {name!r}{nearest(name, known) or '; there are: ' + ', '.join(known)}")
    return {name: known[name] for name in names or known}


def settings(
    args: argparse.Namespace, read: Sequence[File], out: str, job: Job = _NO_JOB, name: str | None = None
) -> tuple[Settings, Extras]:
    """The settings of a run, and who is told of it; raises SettingsError, which says where the value stands."""
    options = _gathered(args, read, job)
    given = {name: one.value for name, one in options.items() if name in declared(Options)}
    try:
        if "header" in given:
            given["header"] = tuple(map(_filled, given["header"]))
        made = Settings(**named(out, given.get("state")), given=frozenset(given), job=name, **given)
    except SettingsError as error:
        flags = re.findall(r"--[a-z-]*[a-z]", str(error))
        origins = {one.flag: options[one.name].origin for one in KEYS.values() if one.name in options}
        where = [f"{flag} is from {origins[flag]}" for flag in flags if origins.get(flag, flag) != flag]
        raise SettingsError(f"{error} ({', '.join(dict.fromkeys(where))})" if where else str(error)) from error
    return made, extras(made, Notifier(_told(read, job)[0], report.closing))


def _gathered(args: argparse.Namespace, read: Sequence[File], job: Job = _NO_JOB) -> Layer:
    return gathered(read, os.environ, _flags(args), args.profile, job[0])


def _flags(args: argparse.Namespace) -> Layer:
    given = ((one, getattr(args, one.name, None)) for one in declared(Options).values())
    return {
        one.name: Given(one.collect(value) if one.collect else value, one.flag)
        for one, value in given
        if value is not None
    }


def _filled(text: str) -> str:
    """A header with the value that it names as `env:NAME`."""
    value = header(text)[2]
    try:
        return text[: text.rindex(value)] + secret(value) if value.startswith("env:") else text
    except SettingsError as error:
        raise SettingsError(f"--header: {error}") from None


def _told(read: Sequence[File], job: Job) -> tuple[Notify, Layer]:
    """Who is told, and where the keys of that stand; raises SettingsError."""
    keys = next(filter(None, [job[1], *(file.notify for file in read)]), {})
    origin = next((one.origin for one in keys.values()), "")
    try:
        return parse({key: one.value for key, one in keys.items()}, Path(origin.rpartition(":")[0]).parent), keys
    except SettingsError as error:
        place = keys.get(str(error).partition(":")[0])
        raise SettingsError(f"{place.origin if place else origin}: {error}") from None


def show(args: argparse.Namespace) -> None:
    """Print every option, its value and where that is from; raises SettingsError."""
    read = found(args)
    job = jobs(read, [args.job])[args.job] if args.job else _NO_JOB
    options = _gathered(args, read, job)
    names = {key: one.name for key, one in KEYS.items()} | ({"inputs": "inputs", "out": "out"} if args.job else {})
    known = declared(Options)
    lines = {
        key: options[name] if name in options else Given(known[name].default, "default") for key, name in names.items()
    }
    notify, stated = _told(read, job)
    for key, value in ((f"notify.{name.replace('_', '-')}", value) for name, value in asdict(notify).items()):
        lines[key] = Given(value or None, stated.get(key[7:], Given(None, "default")).origin)
    lines = {key: Given(_texts(key, one.value, masked=True), one.origin) for key, one in lines.items()}
    if args.json:
        plain = {key: {"value": one.value, "from": one.origin} for key, one in lines.items()}
        result(json.dumps({"files": [str(file.path) for file in read], "options": plain}))
        return
    result(table((key, "-" if one.value is None else _toml(one.value), one.origin) for key, one in lines.items()))
    result(f"\nfiles: {', '.join(str(file.path) for file in read) or 'none'}")
    result(f'variables: {PREFIX}MAX_COST and so on; of several values as JSON, ["…", "…"]')


def _texts(key: str, value: Any, *, masked: bool = False) -> Any:
    """A value as files have it; `masked`: without what may be a secret."""
    if key == "input":
        return [f"{name}={'…' if masked else json.dumps(one)}" for name, one in value.items()]
    if key == "header" and masked:
        parts = [(one, header(one)[2]) for one in value]
        return [one if text.startswith("env:") else f"{one[: len(one) - len(text)]}…" for one, text in parts]
    return scrubbed(value) if masked and isinstance(value, str) else value


def init(args: argparse.Namespace) -> None:
    """Write a file of the flags that are given; raises SettingsError and DiskError."""
    path = Path(args.file)
    text = _written(_flags(args), Path() if args.file == "-" else path.parent)
    parsed(path, text)  # what doesn't belong in a file is refused as it would be there
    if args.file == "-":
        result(text)
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise SettingsError(f"{path} is there already, and stays; give another name, or - for stdout") from None
    except OSError as error:
        raise DiskError(f"{path} can't be written: {error.strerror or error}") from error
    result(str(path))


def _written(given: Layer, folder: Path) -> str:
    """A file of these options, for a folder, with the others as comments."""
    lines = [_HEAD]
    for group, options in groupby(KEYS.items(), lambda item: item[1].group):
        lines.append(f"\n# --- {group} ---")
        for key, one in options:
            about = one.help.replace("`", "") + (" (a list)" if one.collect else "")
            lines += textwrap.wrap(about, 116, initial_indent="# ", subsequent_indent="# ")
            sample = _toml(one.default) if one.default else f"<{one.metavar or '|'.join(one.choices)}>"
            if one.name not in given:
                lines.append(f"#{key} = {sample}")
                continue
            value = _texts(key, given[one.name].value)
            many = [_from(folder, one, text) for text in value] if isinstance(value, list | tuple) else None
            lines.append(f"{key} = {_toml(_from(folder, one, value) if many is None else many)}")
    return "\n".join([*lines, _FOOT])


def _from(folder: Path, option: Option, value: Any) -> Any:
    """The value, a path relative to the folder where it is one."""
    is_path = option.path and isinstance(value, str) and re.search(option.path, value) and not Path(value).is_absolute()
    return os.path.relpath(value, folder) if is_path else value


def _toml(value: Any) -> str:
    if isinstance(value, int | float):
        return str(value).lower()  # `inf`, which JSON hasn't
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
