"""What one run of the benchmark has found, as it is kept: truth.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.matting.methods import Timed
from tests.bench.matting.metrics import NAMES, Score
from tests.bench.matting.scenes import KINDS


@dataclass
class Record:
    """Scores by picture and method, and what the methods took."""

    scores: Mapping[str, Mapping[str, Score]]
    timed: Mapping[str, Mapping[int, Timed]] = field(default_factory=dict)
    """By method and size in megapixels."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    rembg: str = ""
    """Its version."""
    notes: Sequence[str] = ()
    """Of what was left out, and why."""

    @property
    def methods(self) -> list[str]:
        """In the order they were run."""
        return list(dict.fromkeys(method for found in self.scores.values() for method in found))

    def pictures(self, *methods: str, kind: str = "", size: int = 0) -> list[str]:
        """Those that all these methods have made, of one kind or size only where that is given."""
        return [
            name
            for name, found in self.scores.items()
            if all(method in found for method in methods) and kind in ("", kind_of(name)) and size in (0, size_of(name))
        ]

    def values(self, method: str, metric: str, names: Sequence[str]) -> list[float]:
        """One for each of the pictures."""
        return [float(getattr(self.scores[name][method], metric)) for name in names]

    def as_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "machine": self.machine,
            "rembg": self.rembg,
            "notes": list(self.notes),
            "timed": {
                method: {str(size): asdict(timed) for size, timed in sizes.items()}
                for method, sizes in self.timed.items()
            },
            "metrics": list(NAMES),
            "scores": {
                name: {m: [float(f"{getattr(score, key):.5g}") for key in NAMES] for m, score in found.items()}
                for name, found in self.scores.items()
            },
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Record:
        """Raises ValueError where the file holds other metrics than these."""
        if tuple(given["metrics"]) != NAMES:
            raise ValueError(f"the file holds {given['metrics']}, not {NAMES}: run the benchmark again")
        return cls(
            scores={name: {m: Score(*v) for m, v in found.items()} for name, found in given["scores"].items()},
            timed={
                method: {int(size): Timed(**timed) for size, timed in sizes.items()}
                for method, sizes in given["timed"].items()
            },
            machine=given["machine"],
            rembg=given["rembg"],
            notes=given["notes"],
        )

    def write(self, path: Path) -> None:
        text = json.dumps(self.as_json(), ensure_ascii=False, indent=1)
        # A picture's numbers on one line, so that the file can be read and compared.
        path.write_text(re.sub(r"\[[^\[\]{}\"]*\]", lambda m: " ".join(m.group().split()), text) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> Record:
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))


def kind_of(name: str) -> str:
    """Of a picture, by its name; raises StopIteration where it is none of ours."""
    return next(kind for kind in KINDS if f"-{kind}-" in name)


def size_of(name: str) -> int:
    """Megapixels, by its name."""
    return int(name.rpartition("-")[2].removesuffix("Mpx"))
