"""What a graphics card does here: the network alone, whole runs with the card's busy share, and rembg beside them.

    python -P -m tests.bench.card [--device cuda] [--pictures 1600] [--rembg PYTHON]

`PYTHON`: of an environment with rembg and onnxruntime-gpu, which gets our weights of u2netp.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from batch_removebg.engine import resize
from batch_removebg.engine.devices import PROVIDERS
from batch_removebg.engine.runtimes.batches import Tensor
from batch_removebg.engine.runtimes.pinned import pinned
from batch_removebg.engine.weights import MODELS, cache_dir
from batch_removebg.resources import cores
from tests.bench.material import photographs
from tests.bench.processes import measured

SECONDS = 1.0
BATCHES = (1, 8, 16)
RUNS = (("fast", 600), ("good", 600), ("good", 1200), ("good", 2400))
_DISTINCT = 24  # photographs; the others are these with other bytes after their end
_REMBG = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from rembg import new_session, remove
folder, out, provider, threads = sys.argv[1:]
session, files = new_session("u2netp", providers=[provider]), sorted(Path(folder).iterdir())
one = lambda path: Path(out, path.stem + ".png").write_bytes(remove(path.read_bytes(), session=session))
one(files[0])
began = time.monotonic()
list(ThreadPoolExecutor(int(threads)).map(one, files))
print(len(files) / (time.monotonic() - began))
"""


def rate(run: object, inputs: Sequence[Tensor]) -> float:
    """Pictures a second, with a thread for each input."""
    ends = time.perf_counter() + SECONDS

    def again(tensor: Tensor) -> float:
        began, done = time.perf_counter(), 0
        while time.perf_counter() < ends:
            run(tensor)  # type: ignore[operator]
            done += len(tensor)
        return done / (time.perf_counter() - began)

    with ThreadPoolExecutor(len(inputs)) as pool:
        return sum(pool.map(again, inputs))


def alone(name: str, device: str) -> Iterator[list[str]]:
    """Rows: batch, its first run, and rates by what is on its way and where inputs lie."""
    import onnxruntime

    model = MODELS[name]
    read = model.path.read_bytes()
    network = resize.for_batches(resize.for_size(read, model.size) if model.exported else read)
    for batch in BATCHES:  # each with a session of its own: for another size, it would search anew
        options = {"use_tf32": "0"} if device == "cuda" else {}
        session = onnxruntime.InferenceSession(network, providers=[(PROVIDERS[device], options)])
        shape = (batch, 3, model.size, model.size)
        plain = [np.random.default_rng(seed).random(shape, np.float32) for seed in range(2)]
        fixed = [pinned(shape) for _ in range(2)]

        def run(tensor: Tensor, session: object = session) -> object:
            return session.run(None, {session.get_inputs()[0].name: tensor})  # type: ignore[attr-defined]

        began = time.perf_counter()
        run(plain[0])
        first = time.perf_counter() - began
        rates = (rate(run, each[:many]) for many in (1, 2) for each in (plain, fixed))
        yield [name, str(batch), f"{first:.1f} s", *(f"{each:.0f}/s" for each in rates)]


@contextmanager
def watched() -> Iterator[list[float]]:
    """The card's busy shares, in percent, five times a second, once the block has ended."""
    shares, told = list[float](), ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
    try:
        watch = subprocess.Popen([*told, "--loop-ms=200"], stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        yield shares
        return
    reader = threading.Thread(target=lambda: shares.extend(float(line) for line in watch.stdout or ()))
    reader.start()
    try:
        yield shares
    finally:
        watch.terminate()
        reader.join()


def whole(folder: Path, words: Sequence[str | Path], out: Path) -> list[str]:
    """Pictures a second between the first and the last tenth, and how busy card and cores were."""
    with watched() as shares:
        ran = measured(words, limit=600)
    made = sorted(path.stat().st_mtime for path in out.glob("*.png"))
    assert len(made) == sum(1 for _ in folder.iterdir()), ran.said
    tenth = len(made) // 10
    steady = (len(made) - 2 * tenth) / (made[-tenth - 1] - made[tenth])
    busy = sorted(shares)[len(shares) // 2] if shares else 0.0
    load = ran.cpu / (ran.seconds * cores())
    return [f"{len(made) / ran.seconds:.1f}/s", f"{steady:.1f}/s", f"{busy:.0f} %", f"{load:.0%}"]


def say(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=PROVIDERS)
    parser.add_argument("--pictures", type=int, default=1600)
    parser.add_argument("--rembg", metavar="PYTHON")
    args = parser.parse_args()
    say("network", "batch", "first run", "one on its way", "from pinned memory", "two", "from pinned memory")
    for name in ("u2netp", "isnet"):
        for row in alone(name, args.device):
            say(*row)
    say("run", "photos of", "whole", "steady", "card busy (median)", "cores busy")
    with tempfile.TemporaryDirectory() as place:
        for size in sorted({size for _, size in RUNS}):
            base = [path.read_bytes() for path in photographs(Path(place, str(size)), _DISTINCT, size, grain=3.0)]
            for number in range(_DISTINCT, args.pictures):
                Path(place, str(size), f"{number}.jpg").write_bytes(base[number % _DISTINCT] + b"%d" % number)
        for kind, size in RUNS:
            folder, out = Path(place, str(size)), Path(place, f"{kind}{size}")
            words = [sys.executable, "-m", "batch_removebg", "run", folder, "--out", out, "--provider", "local"]
            say(kind, f"{size} px", *whole(folder, [*words, "--class", kind, "--device", args.device], out))
        os.environ["U2NET_HOME"] = str(cache_dir())
        for threads in (1, cores()) if args.rembg else ():
            (out := Path(place, f"rembg{threads}")).mkdir()
            words = [args.rembg, "-c", _REMBG, Path(place, "600"), out, PROVIDERS[args.device], str(threads)]
            say(f"rembg u2netp, {threads} threads", "600 px", *whole(Path(place, "600"), words, out))


if __name__ == "__main__":
    main()
