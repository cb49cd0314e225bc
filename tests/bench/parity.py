"""`python -m tests.bench.parity`: masks of small networks under every name that rembg knows too, by both programs.

The networks have the inputs and outputs of those they stand for, so that preparation, sigmoid and min–max are compared
also where the weights can't be had. rembg runs in its own environment, with its checksums switched off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from batch_removebg.engine import weights
from batch_removebg.engine.devices import Device
from batch_removebg.engine.network import opened
from batch_removebg.engine.weights import Weights
from tests.bench.report import ROOT
from tests.support import networks

PEER = ROOT / ".venv-rembg" / "bin" / "python"
NAMES: Mapping[str, str] = {
    **{name: name for name in ("u2netp", "u2net", "silueta", "isnet-general-use")},
    **{name: name for name in ("birefnet-general-lite", "birefnet-general")},
    "isnet-1024": "isnet-general-use",
}
"""Our names, and rembg's session for the same input."""

_THEIRS = """
import sys
from pathlib import Path
from PIL import Image
from rembg import new_session

folder, *names = sys.argv[1:]
for name in names:
    session = new_session(name, providers=["CPUExecutionProvider"])
    for photo in sorted(Path(folder).glob("*.photo.png")):
        [mask] = session.predict(Image.open(photo).convert("RGB").resize(SIZES[name]))
        mask.save(photo.with_name(photo.name.replace("photo", name)))
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One network's masks, ours against rembg's."""

    name: str
    device: Device
    largest: int  # difference, in levels of 255
    mean: float
    spread: int  # levels that rembg's masks have, at the least: a flat mask would prove nothing


def network(model: Weights) -> bytes:
    """A network that blurs and mixes the channels: 1×3×S×S to maps 1×1×S×S, the first the one that counts."""
    rng, side = np.random.default_rng(5), model.exported or model.size
    kernel = rng.normal(0.0, 0.2, (2, 3, 7, 7)).astype(np.float32)
    kernel[0] += 0.02
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["both"], pads=[3, 3, 3, 3]),
        helper.make_node("Split", ["both", "halves"], ["logits", "other"], axis=1),
        *([] if model.sigmoid else [helper.make_node("Sigmoid", ["logits"], ["map"])]),
    ]
    found = dict.fromkeys(("logits" if model.sigmoid else "map", "other"), (1, 1, side, side))
    return networks.network(nodes, (1, 3, side, side), found, kernel=kernel, halves=np.array([1, 1]))


def photos() -> list[Image.Image]:
    """A dark, a bright and a colourful picture, whose maxima differ."""
    rng = np.random.default_rng(6)
    low = rng.uniform(0, 1, (3, 12, 16, 3))
    scales = np.array([[90, 80, 60], [250, 255, 255], [255, 120, 30]])
    return [
        Image.fromarray((each * scale).astype(np.uint8)).resize((480, 360), Image.Resampling.BICUBIC)
        for each, scale in zip(low, scales, strict=True)
    ]


def compare(names: Mapping[str, str] = NAMES, device: Device = "cpu") -> list[Compared]:
    """Each network's masks by both."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, photo in enumerate(photos()):
            photo.save(folder / f"{number}.photo.png")
        models = {ours: weights.known(ours) for ours in names}
        for ours, theirs in names.items():
            data = network(models[ours])
            for file in {models[ours].file, f"{theirs}.onnx"}:
                (folder / file).write_bytes(data)
        sizes = {theirs: (models[ours].size,) * 2 for ours, theirs in names.items()}
        env = {**os.environ, "U2NET_HOME": name, "MODEL_CHECKSUM_DISABLED": "1"}
        command = [str(PEER), "-c", f"SIZES = {sizes!r}{_THEIRS}", name, *sizes]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
        os.environ[weights.FOLDER_VARIABLE] = name
        try:
            return [_compared(folder, models[ours], theirs, device) for ours, theirs in names.items()]
        finally:
            del os.environ[weights.FOLDER_VARIABLE]


def _compared(folder: Path, model: Weights, theirs: str, device: Device) -> Compared:
    loaded = opened(model, device, "float32")
    differences, spread = [], 255
    for photo in sorted(folder.glob("*.photo.png")):
        rgb = np.asarray(Image.open(photo).convert("RGB").resize((model.size,) * 2))
        expected: NDArray[np.uint8] = np.asarray(Image.open(photo.with_name(photo.name.replace("photo", theirs))))
        differences.append(np.abs(loaded.matte(rgb).alpha.astype(int) - expected))
        spread = min(spread, int(np.ptp(expected)))
    both = np.stack(differences)
    return Compared(model.name, device, int(both.max()), float(both.mean()), spread)


def main() -> None:
    if not PEER.exists():
        sys.exit("rembg's environment is missing: make .venv-rembg/.python")
    for one in (each for device in ("cpu", "openvino") for each in compare(device=device)):
        print(f"{one.name:24} {one.device:10} largest {one.largest}  mean {one.mean:.4f}  levels {one.spread}")


if __name__ == "__main__":
    main()
