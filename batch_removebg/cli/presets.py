"""`batch-removebg presets`: what shops ask of a picture."""

from __future__ import annotations

from batch_removebg.finish import presets
from batch_removebg.finish.compliance import expectation
from batch_removebg.finish.presets import Preset
from batch_removebg.run.declare import declared
from batch_removebg.run.options import Options

from .console import result, table

_HEAD = ("name", "title", "canvas", "background", "fill", "bytes", "standing")
_RULE = ("level", "about", "asks for", "standing", "read", "source")


def show(name: str | None) -> None:
    """Print all presets, one a line; or what one binds, and its rules."""
    if name is None:
        result(table([_HEAD, *map(_cells, presets.shipped().values())]))
        return
    preset = presets.known(name)
    sides = {
        name: sign.join(f"{side:g}" for side in preset.bound.get(name, ()))
        for name, sign in (("canvas", "x"), ("aspect", ":"))
    }
    bound, flags = {**preset.bound, **sides, "name": preset.name}, declared(Options)
    told = {f"--{key}" if key in flags else f"{key} =": value for key, value in bound.items() if value}
    lines = [preset.title or name, *(f"  {key}" + f" {value}" * (value is not True) for key, value in told.items())]
    rules = (
        (level, about, expectation(about, rule), rule.standing or "", rule.read or "", rule.source or "")
        for level, about, rule in preset.rules()
    )
    result("\n".join([*lines, table([_RULE, *rules]), *(f"not checked: {each}" for each in preset.not_checked)]))


def _cells(preset: Preset) -> tuple[str, ...]:
    canvas = "×".join(map(str, preset.canvas or ())) or "any"
    size = [f"{limit / 1e6:g} MB" for limit in (preset.bytes_least, preset.bytes_most) if limit]
    standing = "/".join(sorted({rule.standing or "" for _, _, rule in preset.rules()}))
    fill = f"{preset.fill:.0%}" if preset.fill else "any"
    return (preset.preset, preset.title, canvas, preset.background or "any", fill, "–".join(size) or "any", standing)
