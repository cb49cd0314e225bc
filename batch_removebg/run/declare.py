"""How options are declared: a field says how its option is given, checked and explained. Light, as `options` is."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from difflib import get_close_matches
from math import inf
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from batch_removebg.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option; its name, default and type are those of its field."""

    group: str  # title of its section in `--help`
    help: str  # Markdown; the default is appended where the text doesn't mention it
    metavar: str | None = None
    least: float | None = None
    most: float | None = None  # needs `least`
    above: float | None = None  # what a finite number must exceed
    read: Callable[[str], Any] | None = None  # from text to value where the type can't; raises ArgumentTypeError
    many: bool = False  # one flag takes any number of values
    once: bool = False  # would do harm if it were in force for every run: for the command line alone
    path: str = ""  # regular expression for those values that are paths of files or folders
    flag: str = ""
    name: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()  # of a Literal
    collect: Callable[[list[Any]], Any] | None = None  # from the values of a repeated flag to a tuple or dict

    def add_to(self, parser: Any, **changes: Any) -> None:
        """Add the flag to a parser or group, with `changes` to `add_argument`'s arguments; None means "not given"."""
        how: dict[str, Any] = {"dest": self.name, "help": self.help.replace("%", "%%"), "default": None}
        if self.default is False:
            how["action"] = "store_true"
        else:
            how |= {"type": self.read, "choices": self.choices or None, "metavar": self.metavar}
            how |= {"nargs": "*"} if self.many else {"action": "append" if self.collect else "store"}
        parser.add_argument(self.flag, **how | changes)
        if self.default is False:  # undoes what a configuration says
            parser.add_argument(
                f"--no-{self.flag[2:]}", dest=self.name, action="store_const", const=False, help=SUPPRESS
            )

    def check(self, value: Any) -> None:
        """Raise SettingsError, with the flag's name and a remedy, for a value that isn't allowed."""
        if value is None and (self.default is None or not self.choices):
            return
        if self.choices and value not in self.choices:
            remedy = f"choose one of {', '.join(self.choices)}"
        elif self.above is not None and not self.above < value < inf:
            remedy = f"give a number above {self.above}"
        elif self.least is not None and not value >= self.least:
            remedy = f"give {self.least} or more"
        elif self.most is not None and value > self.most:
            remedy = f"give {self.least} to {self.most}"
        else:
            return
        raise SettingsError(f"{self.flag} {_plain(value)}: {remedy}")


def option(default: T, group: str, help: str, *, secret: bool = False, **how: Any) -> T:  # noqa: A002  # argparse's own word
    """A field of a table; a secret one is left out of its repr. `how` are fields of Option."""
    metadata = {"option": Option(group=group, help=help, **how)}
    if default.__hash__ is None:  # a collection: a new one for each
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


def declared(table: type) -> dict[str, Option]:
    """The options of a table by name, in their order."""
    hints, found = get_type_hints(table), {}
    for one in (one for one in fields(table) if "option" in one.metadata):
        entry, hint = one.metadata["option"], hints[one.name]
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if NoneType in get_args(hint):
            [hint] = set(get_args(hint)) - {NoneType}
        kind = get_origin(hint)
        choices, collect = get_args(hint) if kind is Literal else (), {tuple: tuple, Mapping: dict}.get(kind)
        stated = isinstance(default, bool | NoneType | dict | tuple) or "default" in entry.help
        found[one.name] = replace(
            entry,
            help=entry.help if stated else f"{entry.help} (default `{_plain(default)}`)",
            choices=choices,
            collect=collect,
            read=entry.read or (str.lower if choices else str if collect else hint),
            flag=entry.flag or f"--{one.name.replace('_', '-')}",
            name=one.name,
            default=default,
        )
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a refusal that names the nearest word that is known; empty where none is near."""
    return "".join(f"; did you mean {near}?" for near in get_close_matches(word, known, 1))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
