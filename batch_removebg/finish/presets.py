"""What shops ask of a picture, as data: the presets of `presets.toml`, and those in files of the user's own."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from batch_removebg.errors import SettingsError
from batch_removebg.imaging.format import Format, Metadata, parse_colour

from .options import Align, Colours, Finish

Standing = Literal["official", "reported"]
Level = Literal["required", "recommended"]
Number = Literal["fill", "longest", "shortest", "width", "height", "megapixels", "bytes", "quality", "frames"]
Word = Literal["background", "aspect", "format", "suffix", "mode", "profile", "name"]
"""What a rule may be about: `fill` is the longest side of the subject's box ÷ the frame's side along it."""
_WORDS = {
    "background": "white|transparent",
    "aspect": r"[1-9]\d*(\.\d+)?:[1-9]\d*(\.\d+)?",
    "format": "jpeg|png|webp|tiff|avif|gif|bmp|heif|psd",
    "mode": "(RGB|grey|CMYK)( with alpha)?",
    "profile": "sRGB",
}
SHIPPED = Path(__file__).with_name("presets.toml")  # its head tells the keys
_GEOMETRY = ("canvas", "aspect", "fill", "align", "enlarge")
_BINDS = (*_GEOMETRY, "background", "format", "quality", "colours", "metadata", "bytes_least", "bytes_most")
_CHOICES = {"format": Format, "colours": Colours, "metadata": Metadata, "align": Align, "standing": Standing}
_Day = Annotated[str, Meta(pattern=r"^(\d{4}-\d\d(-\d\d)?)?$")]
_Pixels = Annotated[int, Meta(ge=1)]
_Above0 = Annotated[float, Meta(gt=0)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, about a number or a word, and where it comes from; by default, from where the preset does."""

    least: float | None = None
    most: float | None = None
    any: tuple[str, ...] = ()  # the words that are allowed: of a name, patterns of the whole without its suffix
    like: str = ""  # an example of a pattern
    standing: Standing | None = None
    source: str | None = None
    read: _Day | None = None


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
    align: Align | None = None
    enlarge: bool | None = None
    background: str | None = None
    format: Format | None = None
    quality: Annotated[int, Meta(ge=1, le=100)] | None = None
    colours: Colours | None = None
    metadata: Metadata | None = None
    bytes_least: _Pixels | None = None
    bytes_most: _Pixels | None = None
    name: str | None = None  # template of names, without suffix, where items have its columns
    required: dict[Number | Word, Rule] = {}
    recommended: dict[Number | Word, Rule] = {}
    not_checked: tuple[str, ...] = ()  # rules that no program can decide

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        try:
            finish_of(self, Finish())
            for level, about, rule in self.rules():
                _require_sense(about, rule, f"{level}.{about}")
        except (SettingsError, re.error) as error:
            raise ValueError(str(error)) from error

    @property
    def bound(self) -> Mapping[str, Any]:
        """The options of a run that it binds, by name."""
        return {name: value for name in _BINDS if (value := getattr(self, name)) is not None}

    def rules(self) -> Iterator[tuple[Level, str, Rule]]:
        """Its rules, required ones first, each with where it comes from."""
        level: Level
        for level, rules in (("required", self.required), ("recommended", self.recommended)):
            for about, rule in rules.items():
                origin = {key: getattr(rule, key) or getattr(self, key) for key in ("standing", "source", "read")}
                yield level, about, msgspec.structs.replace(rule, **origin)


def _require_sense(about: str, rule: Rule, where: str) -> None:
    if about in get_args(Number) and (rule.any or (rule.least is None and rule.most is None)):
        raise ValueError(f"{where}: it is about a number: give `least`, `most` or both")
    if about in get_args(Word) and not rule.any:
        raise ValueError(f"{where}: it is about a word: give `any`, a list of those that are allowed")
    if rule.least is not None and rule.most is not None and rule.least > rule.most:
        raise ValueError(f"{where}: `least` is above `most`")
    for word in rule.any:
        if about in _WORDS and not re.fullmatch(_WORDS[about], word):
            form = "such as 4:3" if about == "aspect" else f"one of {_WORDS[about]}"
            raise ValueError(f"{where}: {word!r} is not {form}")
        re.compile(word)


def finish_of(preset: Preset, base: Finish) -> Finish:
    """How a picture for the preset is made; what that doesn't bind is as in `base`."""
    bound = dict(preset.bound)
    placed = {name: bound.pop(name) for name in _GEOMETRY if name in bound}
    if "background" in bound:
        bound["background"] = parse_colour(bound["background"])
    geometry = replace(base.geometry, **placed)
    bound["side_least"] = least = _side_least(preset, geometry.canvas or geometry.aspect or (1, 1))
    if placed:  # what a file of one's own says of a canvas is meant, unless its rules allow a smaller one
        smaller = least if least > 1 or not preset.file else None
        bound["geometry"] = replace(geometry, canvas_least=smaller)
    return replace(base, preset=preset.preset, preset_file=preset.file, **bound)


def _side_least(preset: Preset, shape: tuple[float, float]) -> int:
    """The longer side, in pixels, down to which pictures of that shape keep to what is required of their sides."""
    sides = {"longest": max(shape), "shortest": min(shape), "width": shape[0], "height": shape[1]}
    asked = ((rule.least, sides[about]) for about, rule in preset.required.items() if about in sides and rule.least)
    return math.ceil(max((least * max(shape) / side for least, side in asked), default=1))


@cache
def shipped() -> Mapping[str, Preset]:
    """The presets that come with this program, by name."""
    raw = tomllib.loads(SHIPPED.read_text("utf-8"))
    return {name: msgspec.convert({**cells, "preset": name}, Preset) for name, cells in raw.items()}


def known(word: str) -> Preset:
    """The preset of that name, or in that TOML file; raises SettingsError."""
    if word in (presets := shipped()):
        return presets[word]
    path = Path(word).expanduser()
    if path.suffix.lower() != ".toml":
        near = " or ".join(get_close_matches(word.lower(), presets, 3))
        remedy = f"did you mean {near}?" if near else f"known are {', '.join(presets)}."
        own = f"One of your own is a .toml file: see the head of {SHIPPED}"
        raise SettingsError(f"there is no preset {word!r}; {remedy} {own}")
    if path.stem in presets:
        raise SettingsError(f"{word}: {path.stem} is the name of a preset that is known; give the file another name")
    try:
        text = path.read_text("utf-8")
        preset = _parsed(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{word} can't be read: {getattr(error, 'strerror', None) or error}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"{word}, line {_line(text, str(error))}: {_plain(str(error))}") from error
    return msgspec.structs.replace(preset, preset=path.stem, file=word, source=preset.source or word)


def _parsed(text: str) -> Preset:
    return msgspec.convert(tomllib.loads(text), Preset)


def _line(text: str, said: str) -> int:
    """The number of the line up to which a text is refused as it is as a whole."""
    lines = text.splitlines()
    for count in range(1, len(lines)):
        try:
            _parsed("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:  # within a value of several lines
            continue
        except msgspec.ValidationError as error:
            if str(error) == said:
                return count
    return len(lines)


def _plain(said: str) -> str:
    """What msgspec says of a value, for people."""
    what, _, place = re.sub(" [|] null|`", "", said).partition(" - at ")
    if unknown := re.fullmatch("Object contains unknown field (.*)|Invalid enum value '(.*)'", what):
        word, values = unknown[1] or unknown[2], get_args(_CHOICES.get(place.rpartition(".")[2]))
        keys = {*Preset.__struct_fields__, *Rule.__struct_fields__, *get_args(Number), *get_args(Word)}
        near = "".join(f"; did you mean {near}?" for near in get_close_matches(word, values or keys, 1))
        choice = f"give {', '.join(values)}" if values else f"see the head of {SHIPPED}"
        what = f"there is no {word!r}{near or f': {choice}'}"
    place = place.removeprefix("key in ").replace("[...]", "").lstrip("$.")
    return f"{place}: {what}" if place else what
