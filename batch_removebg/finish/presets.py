"""What shops ask of a picture, as data: the presets of `presets.toml`, and those in files of the user's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Format, Metadata, parse_colour

from .options import Colours, Finish

Standing = Literal["official", "reported"]
Level = Literal["required", "recommended"]
_GEOMETRY = ("canvas", "aspect", "fill", "align", "enlarge")
_BINDS = (*_GEOMETRY, "background", "format", "quality", "colours", "metadata", "bytes_least", "bytes_most", "name")
_Day = Annotated[str, Meta(pattern=r"^(\d{4}-\d\d(-\d\d)?)?$")]
_Pixels = Annotated[int, Meta(ge=1)]
_Above0 = Annotated[float, Meta(gt=0)]
_FORMS = {"aspect": "4:3", "read": "2026-11-27, or 2026-11"}
T = TypeVar("T")


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, and where it comes from; None: from where the preset does."""

    standing: Standing | None = None
    source: str | None = None
    read: _Day | None = None


class Range(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule about a number."""

    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing, or what nothing can meet."""
        if self.least is None and self.most is None:
            raise ValueError("it needs `least`, `most` or both")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"`least` {self.least:g} is above `most` {self.most:g}")


class Words(Rule, Generic[T], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule about a word, which has to be one of some."""

    any: Annotated[tuple[T, ...], Meta(min_length=1)]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one level, by what they are about; their order is that of reports."""

    background: Words[Literal["white", "transparent"]] | None = None
    fill: Range | None = None  # longest side of the subject's box ÷ the frame's side along it
    longest: Range | None = None  # the longer side, in pixels, as the next three
    shortest: Range | None = None
    width: Range | None = None
    height: Range | None = None
    megapixels: Range | None = None
    aspect: Words[Annotated[str, Meta(pattern=r"^[1-9]\d*(\.\d+)?:[1-9]\d*(\.\d+)?$")]] | None = None
    format: Words[Literal["jpeg", "png", "webp", "tiff", "avif", "gif", "bmp", "heif", "psd"]] | None = None
    suffix: Words[str] | None = None  # without the dot
    bytes: Range | None = None
    quality: Range | None = None  # of JPEG, by its tables
    mode: Words[Literal["RGB", "grey", "CMYK", "RGB with alpha", "grey with alpha"]] | None = None  # of 8 bits
    profile: Words[Literal["sRGB"]] | None = None
    frames: Range | None = None
    name: Words[str] | None = None  # patterns of the whole name, without its suffix

    def __post_init__(self) -> None:
        """Refuse patterns that are none."""
        for pattern in self.name.any if self.name else ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no pattern: {error}") from error

    def each(self) -> Iterator[tuple[str, Rule]]:
        """Those that there are, by name."""
        return ((name, rule) for name in self.__struct_fields__ if (rule := getattr(self, name)) is not None)


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a shop takes: options of a run that it binds, None where it leaves them free; and rules to judge by."""

    preset: str = ""  # its name
    file: str = ""  # where it comes from, of one of the user's own
    title: str = ""
    standing: Standing = "reported"
    source: str = ""
    read: _Day = ""
    canvas: tuple[_Pixels, _Pixels] | None = None
    aspect: tuple[_Above0, _Above0] | None = None
    fill: Annotated[float, Meta(gt=0, le=1)] | None = None
    align: Literal["centre", "bottom", "centroid"] | None = None
    enlarge: bool | None = None
    background: str | None = None
    format: Format | None = None
    quality: Annotated[int, Meta(ge=1, le=100)] | None = None
    colours: Colours | None = None
    metadata: Metadata | None = None
    bytes_least: _Pixels | None = None
    bytes_most: _Pixels | None = None
    name: str | None = None  # template of names, without suffix
    required: Rules = Rules()
    recommended: Rules = Rules()
    not_checked: tuple[str, ...] = ()  # rules that no program can decide

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.canvas and self.aspect:
            raise ValueError("`canvas` has an aspect already: leave `aspect` out")
        try:
            parse_colour(self.background or "white")
        except SettingsError as error:
            raise ValueError(f"`background`: {error}") from error

    @property
    def bound(self) -> Mapping[str, Any]:
        """The options of a run that it binds, by name."""
        return {name: value for name in _BINDS if (value := getattr(self, name)) is not None}

    def rules(self) -> Iterator[tuple[Level, str, Rule]]:
        """Its rules, required ones first, each with where it comes from."""
        levels: tuple[tuple[Level, Rules], ...] = ("required", self.required), ("recommended", self.recommended)
        for level, rules in levels:
            for name, rule in rules.each():
                about = {key: getattr(rule, key) or getattr(self, key) for key in Rule.__struct_fields__}
                yield level, name, msgspec.structs.replace(rule, **about)


def finish_of(preset: Preset, base: Finish) -> Finish:
    """How a picture for the preset is made; what that doesn't bind is as in `base`."""
    bound = {name: value for name, value in preset.bound.items() if name != "name"}
    placed = {name: bound.pop(name) for name in _GEOMETRY if name in bound}
    if placed:
        bound["geometry"] = replace(base.geometry, **placed)
    if "background" in bound:
        bound["background"] = parse_colour(bound["background"])
    return replace(base, preset=preset.preset, preset_file=preset.file, **bound)


@cache
def shipped() -> Mapping[str, Preset]:
    """The presets that come with this program, by name."""
    raw = tomllib.loads(Path(__file__).with_name("presets.toml").read_text("utf-8"))
    return {name: msgspec.convert({**cells, "preset": name}, Preset) for name, cells in raw.items()}


@lru_cache(maxsize=64)
def known(word: str) -> Preset:
    """The preset of that name, or in that TOML file; raises SettingsError."""
    if word in (presets := shipped()):
        return presets[word]
    path = Path(word).expanduser()
    if path.suffix.lower() != ".toml":
        near = get_close_matches(word.lower(), presets, 3)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(presets)}."
        raise SettingsError(f"there is no preset {word!r}; {remedy} One of your own is the path of a .toml file")
    if path.stem in presets:
        raise SettingsError(f"{word}: {path.stem} is the name of a preset that is known; give the file another name")
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{word} can't be read: {getattr(error, 'strerror', None) or error}") from error
    preset = _parsed(word, text)
    return msgspec.structs.replace(preset, preset=path.stem, file=word, source=preset.source or word)


def _parsed(file: str, text: str) -> Preset:
    try:
        return msgspec.convert(tomllib.loads(text), Preset)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}, line {_line(text, str(error))}: {_plain(str(error))}") from error


def _line(text: str, said: str) -> int:
    """The number of the line up to which a text is refused as it is as a whole."""
    lines = text.splitlines()
    for count in range(1, len(lines)):
        try:
            msgspec.convert(tomllib.loads("\n".join(lines[:count])), Preset)
        except tomllib.TOMLDecodeError:  # within a value of several lines
            continue
        except msgspec.ValidationError as error:
            if str(error) == said:
                return count
    return len(lines)


def _plain(said: str) -> str:
    """What msgspec says of a value, in words for people."""
    what, _, place = re.sub(" [|] null|`", "", said).partition(" - at $")
    place = place.strip(".")
    key = re.sub(r"(\.any)?(\[.*)?$", "", place).rpartition(".")[2]
    if unknown := re.fullmatch("Object contains unknown field (.*)", what):
        keys = {*Preset.__struct_fields__, *Rules.__struct_fields__, *Range.__struct_fields__, "any"}
        what = f"there is no key {unknown[1]!r}" + _nearest(unknown[1], keys)
    elif wrong := re.fullmatch("Invalid enum value '(.*)'", what):
        hints = get_type_hints(Preset) | (get_type_hints(Rules) if "." in place else {})
        choice = ", ".join(re.findall("'(.+?)'", str(hints[key])))  # the words of a Literal
        what = f"{wrong[1]!r} is none of {choice}"
    what = re.sub("str matching regex .*", "another form, such as " + _FORMS.get(key, ""), what)
    return f"{place}: " * bool(place) + what


def _nearest(word: str, words: Iterable[str]) -> str:
    return "".join(f"; did you mean {near}?" for near in get_close_matches(word, words, 1))
