"""The command line's words: parsers, their help, and nothing heavy, so that `--help` is there at once."""

from __future__ import annotations

import argparse
import json
from typing import Any

from batch_removebg import __version__
from batch_removebg.finish.options import EDGES, REFINE
from batch_removebg.imaging.format import EXTENSIONS, METADATA

EXIT_CODES = """\
exit codes: 0 every item saved; 1 a bug; 2 usage, settings or manifest; 3 finished, some items failed;
4 aborted (key, credit, budget, disk); 11 OUT is locked by another run; 130 interrupted (143 by SIGTERM)"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(
        prog="batch-removebg",
        description="Remove the background from folders and catalogues of product photos.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"batch-removebg {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run(_command(commands, "run", "make cutouts, or go on where an earlier run stopped", epilog=EXIT_CODES))
    _status(_command(commands, "status", "counts and failures of a run, from its ledger alone"))
    _serve(_command(commands, "serve", "offer the predictions API on this machine"))
    _models(_command(commands, "models", "the local engine's weights"))
    _bench_engine(_command(commands, "bench-engine", "measure the local engine on this machine"))
    return root


def _command(commands: Any, name: str, what: str, epilog: str | None = None) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return made


def _run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder, a picture, a glob, a manifest (.csv .tsv .jsonl .ndjson .txt, also .gz), a URL, "
        "or - for manifest lines on stdin",
    )
    run.add_argument("--out", required=True, metavar="DIR", help="folder for pictures, ledger.jsonl and results.json")
    _provider(run.add_argument_group("provider"))
    _pictures(run.add_argument_group("pictures"))
    _work(run.add_argument_group("how much, how fast"))
    _talk(run.add_argument_group("what is said"))


def _provider(group: Any) -> None:
    group.add_argument(
        "--provider",
        choices=("local", "replicate", "gateway"),
        help="default local: nothing is billed unless it is asked for by name",
    )
    group.add_argument("--base-url", metavar="URL", help="{URL}/predictions is the create call; required for gateway")
    group.add_argument(
        "--token-env",
        metavar="NAME",
        help="environment variable with the key, which is never a flag (default REPLICATE_API_TOKEN)",
    )
    group.add_argument("--model-version", metavar="V", help="version of the model (default lucataco/remove-bg)")
    group.add_argument("--input-field", metavar="FIELD", help="the model's input for the picture (default image)")
    group.add_argument(
        "--input", dest="model_inputs", action="append", type=_pair, metavar="KEY=VALUE", help="a further model input"
    )
    group.add_argument("--model", metavar="NAME", help="weights of the local engine (default u2netp)")
    _engine(group, default=None)
    group.add_argument(
        "--fetch-sources",
        action="store_true",
        default=None,
        help="fetch URL sources and keep their pixels, instead of passing the URL to the API",
    )
    group.add_argument(
        "--allow-private",
        action="store_true",
        default=None,
        help="fetch from private and loopback addresses too (default: only if the API is at one)",
    )
    group.add_argument(
        "--proxy-size", type=int, metavar="PX", help="longest side of what is uploaded to an API (default 2048)"
    )
    group.add_argument(
        "--on-lost",
        choices=("retry", "fail"),
        help="a create whose answer was lost and can't be looked for: once more (default), or fail the item",
    )


def _engine(group: Any, *, default: str | None) -> None:
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "coreml", "directml", "openvino"),
        default=default,
        help="where the local engine runs; auto: the quickest that is here (default); one that is absent is an error",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "bf16"),
        default=default,
        help="what it computes in; auto: bf16 where the processor has it, else float32 (default); "
        "masks that are kept stay as they are",
    )


def _pictures(group: Any) -> None:
    group.add_argument("--format", choices=tuple(EXTENSIONS), help="default png")
    group.add_argument(
        "--mask-only", action="store_true", default=None, help="write the alpha alone, as a grey picture"
    )
    group.add_argument(
        "--background", metavar="COLOUR", help="compose on a colour (white, #f0f0f0); jpeg is always composed, on white"
    )
    group.add_argument(
        "--quality",
        type=int,
        metavar="1-100",
        help="of jpeg, avif, and webp on a background (default 90); given, transparent webp is lossy too",
    )
    group.add_argument(
        "--srgb", action="store_true", default=None, help="convert colours to sRGB (default: keep the photo's profile)"
    )
    group.add_argument(
        "--metadata",
        choices=METADATA,
        help="strip (default): profile and resolution stay; keep: EXIF and XMP too, never the place",
    )
    group.add_argument(
        "--effort",
        type=int,
        metavar="0-9",
        help="how long to try for smaller files; makes no picture anew (default 2: quick)",
    )
    group.add_argument(
        "--edges",
        choices=EDGES,
        help="colours at soft edges: without what shines through of the background (default), or the photo's own",
    )
    group.add_argument(
        "--refine",
        choices=REFINE,
        help="auto: small masks are fitted to the photo's own edges (default); none: they are enlarged alone",
    )
    group.add_argument(
        "--name",
        metavar="TEMPLATE",
        help="output names without extension: {id} (default) {stem} {parent} {name} and the manifest's columns",
    )
    _bounds(group)


def _bounds(group: Any) -> None:
    group.add_argument("--max-size", type=int, metavar="MIB", help="largest source or output (default 200)")
    group.add_argument("--max-pixels", type=int, metavar="N", help="largest picture decoded (default 120000000)")
    group.add_argument(
        "--memory",
        type=_mebibytes,
        metavar="MIB",
        help="of decoded pictures, also 512M or 2G (default a quarter of the machine's, 2048 at most); "
        "one above it runs alone",
    )


def _work(group: Any) -> None:
    group.add_argument(
        "--concurrency",
        type=_concurrency,
        metavar="auto|N",
        help="items in flight (default auto: what keeps the API's limit busy, 256 at most; local: cores + 2)",
    )
    group.add_argument("--rate", type=float, metavar="N", help="creates per minute (default: what the server allows)")
    group.add_argument("--limit", type=int, metavar="N", help="do at most N items in this run")
    group.add_argument("--max-predictions", type=int, metavar="N", help="buy at most N predictions, then stop (exit 4)")
    group.add_argument("--max-cost", type=float, metavar="USD", help="spend at most this in this run; needs --price")
    group.add_argument("--price", type=float, metavar="USD", help="of one prediction, for --max-cost and the summary")
    group.add_argument("--deadline", type=float, metavar="S", help="seconds a prediction may take (default 900)")
    group.add_argument("--retry-failed", action="store_true", default=None, help="try items again that failed before")
    group.add_argument("--grace", type=float, metavar="S", help="seconds to bring home what is in flight (default 30)")
    group.add_argument("--dry-run", action="store_true", help="say what would be done and bought, and do nothing")


def _talk(group: Any) -> None:
    group.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "none"),
        default="auto",
        help="auto: a bar where stderr is a terminal; json: one event a line on stdout",
    )
    _logging(group)


def _logging(group: Any) -> None:
    group.add_argument("--log-format", choices=("text", "json"), default="text", help="of what goes to stderr")
    group.add_argument("-q", "--quiet", action="store_true", help="only errors")
    group.add_argument("-v", "--verbose", action="store_true", help="every single step")


def _status(status: argparse.ArgumentParser) -> None:
    status.add_argument("dir", metavar="DIR", help="the --out of a run")
    status.add_argument("--json", action="store_true", help="as one JSON object")


def _serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, default=5055, help="default 5055; 0 takes a free one")
    serve.add_argument("--model", default="u2netp", metavar="NAME", help="weights (default u2netp)")
    _engine(serve, default="auto")
    serve.add_argument("--token-env", metavar="NAME", help="environment variable with the key that callers must send")
    serve.add_argument(
        "--allow-private", action="store_true", help="fetch inputs from private and loopback addresses too"
    )
    serve.add_argument("--max-pixels", type=int, metavar="N", help="largest picture decoded (default 120000000)")
    _logging(serve)


def _models(models: argparse.ArgumentParser) -> None:
    what = models.add_subparsers(dest="action", required=True, metavar="list|pull")
    what.add_parser("list", help="the weights that are known, and where they lie", allow_abbrev=False)
    pull = what.add_parser("pull", help="bring weights to this machine", allow_abbrev=False)
    pull.add_argument("name", metavar="NAME")


def _bench_engine(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--model", metavar="NAME", help="weights (default: all that are on this machine)")
    bench.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "coreml", "directml", "openvino"),
        default="auto",
        help="auto: every device that is here (default)",
    )
    bench.add_argument("--seconds", type=float, default=5.0, metavar="S", help="for each figure (default 5)")
    bench.add_argument("--json", action="store_true", help="as one JSON object")
    _logging(bench)


def _concurrency(text: str) -> int | None:
    """`auto`, or a number."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give auto or a number") from None


def _mebibytes(text: str) -> int:
    """A number of MiB, also as 512M or 2G."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in ("M", "G") else (text, "M")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise argparse.ArgumentTypeError(f"{text!r}: give MiB, such as 512, 512M or 2G")
    return int(number) * (1024 if unit == "G" else 1)


def _pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is read as JSON where it is some (0.5, true), else as text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE, such as threshold=0.5")
    try:
        found = json.loads(value)
        json.dumps(found, allow_nan=False)  # NaN is no JSON, though Python reads it
    except (ValueError, RecursionError):
        return key, value
    return key, found
