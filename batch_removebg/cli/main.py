"""The commands: arguments in, exit code out. The one place that decides what is printed where."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import start_blocking_portal

from batch_removebg.clock import Clock
from batch_removebg.errors import BatchError, SettingsError
from batch_removebg.run.declare import declared
from batch_removebg.run.options import Options
from batch_removebg.storage.layout import STATE

from .console import Console, logged, printable, result
from .parser import parser
from .progress import JsonLines, Silent, listener, ticking

BUG = 1
INTERRUPTED = 130


def run_command(argv: Sequence[str]) -> int:
    """The exit code of a command line, which is carried out."""
    try:
        args = parser(everyday="--help-all" not in argv).parse_args(argv)
    except SystemExit as left:  # argparse has shown help
        return left.code if isinstance(left.code, int) else 2
    except SettingsError as error:
        Console().error(str(error))
        for name in (printable(each) for each in argv if each[1:] and each[0] == "-" and os.path.lexists(each)):
            Console().error(f"{name} is a file, and was taken for a flag: write ./{name}, or -- before the INPUTs")
        return error.exit_code
    verbosity = (1 if getattr(args, "verbose", False) else 0) - (2 if getattr(args, "quiet", False) else 0)
    console = Console(json_lines=getattr(args, "log_format", "") == "json", verbosity=verbosity)
    # Pillow warns about odd metadata that it can cope with; what a user must know is in an item's notes.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        return _COMMANDS[args.command](args, console) or 0
    except BatchError as error:
        for line in (str(error), *getattr(error, "__notes__", [])):
            console.error(line)
        return error.exit_code
    except KeyboardInterrupt:
        console.error("interrupted")
        return INTERRUPTED
    except Exception:  # noqa: BLE001  # whatever is left is a bug, with an exit code of its own and a traceback
        import traceback

        console.error(f"a bug in batch-removebg; what is finished is on record\n{traceback.format_exc()}")
        return BUG


def _run(args: argparse.Namespace, console: Console) -> int:
    settings = _settings(args)
    if args.dry_run:
        _dry_run(args, settings, console)
        return 0
    from batch_removebg.run.batch import run

    from . import report

    with listener(args.progress, console) as shown:
        batch = partial(run, args.inputs, settings, listener=shown, weights_progress=shown.weights, handle_signals=True)
        # A caller of the library has a loop of their own; this process runs on the fastest one available.
        summary = anyio.run(ticking, shown, batch, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    console.info(report.closing(summary, settings))
    if args.quiet and summary.exit_code != 0:
        console.error(report.outcome(summary))
    if isinstance(shown, JsonLines):
        shown.put({"event": "summary", **summary.as_json()})
    else:
        result(str(summary.results))
    return summary.exit_code


def _dry_run(args: argparse.Namespace, settings: Any, console: Console) -> None:
    from batch_removebg.engine.runtimes.opening import require
    from batch_removebg.run.dry_run import ENDINGS, preview
    from batch_removebg.run.feeds import downloaded

    from . import report

    if settings.provider == "local":
        require(settings.device, settings.precision)  # refused as the run would, before anything else
    download = downloaded(args.inputs, settings, Clock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(download) as inputs:
        found = preview(inputs, settings, Silent(console))
    plain = {name: found[name] for name in ("total", *ENDINGS)} | {"billed": not settings.local}
    result(json.dumps(plain) if args.progress == "json" else report.preview(found, settings))


def _settings(args: argparse.Namespace) -> Any:
    from batch_removebg.run.settings import Settings

    if not args.out:
        raise SettingsError("--out is empty; name a folder for the pictures (is a shell variable unset?)")
    given = {
        name: option.collect(value) if option.collect else value
        for name, option in declared(Options).items()
        if (value := getattr(args, name)) is not None
    }
    return Settings(out=Path(args.out), given=frozenset(given), **given)


def _status(args: argparse.Namespace, console: Console) -> None:
    from . import status

    status.show(args)


def _repair(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.ledger.repair import repair
    from batch_removebg.storage.lock import locked

    from . import report

    out, clock = Path(args.dir), Clock()
    if not out.is_dir():
        raise SettingsError(f"{args.dir} is no folder; give the --out of a run")
    with nullcontext() if args.dry_run else locked(out / STATE, clock=clock):
        found = repair(out, clock.stamp(), dry_run=args.dry_run)
    result(report.repaired(found, dry_run=args.dry_run))


def _serve(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.engine import weights
    from batch_removebg.imaging.format import Limits
    from batch_removebg.server.listen import INPUT_POLICY, ServeSettings, serve

    declared(Options)["max_pixels"].check(args.max_pixels)
    named, token = args.token_env, None
    if named is not None and not (token := os.environ.get(named, "").strip()):
        raise SettingsError(f"--token-env {named}: that environment variable is not set; set it, or leave the flag out")
    settings = ServeSettings(
        host=args.host,
        port=args.port,
        model=weights.known(args.model or weights.CLASSES[args.model_class or weights.DEFAULT]),
        device=args.device,
        precision=args.precision,
        token=token,
        limits=Limits(max_pixels=args.max_pixels),
        fetching=replace(INPUT_POLICY, public_only=not args.allow_private),
        data_dir=Path(args.data_dir) if args.data_dir else None,
        keep=args.keep,
    )
    if text := weights.notice(settings.model):
        console.info(text)
    warnings.filterwarnings("ignore", module="aiohttp")  # about odd headers of clients
    with listener("auto", console) as shown, logged(console):
        said = {
            "ready": lambda url: console.info(f"listening on {url}; Ctrl-C ends it"),
            "loaded": lambda used: console.info(f"{settings.model.name} runs on {used}"),
            "asked": console.info,
        }
        anyio.run(partial(serve, settings, progress=shown.weights, **said))


def _models(args: argparse.Namespace, console: Console) -> int:
    from . import models

    with listener("auto", console) as shown:
        return models.command(args.action, getattr(args, "name", None), shown.weights, console)


def _presets(args: argparse.Namespace, console: Console) -> None:
    from . import presets

    presets.show(getattr(args, "name", None))


def _check(args: argparse.Namespace, console: Console) -> int:
    from . import check

    return check.command(args.paths, args.preset, console, as_json=args.json)


def _bench_engine(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.engine import benchmark

    report = benchmark.measure(args.model, args.device, args.seconds, say=console.info)
    result(json.dumps(asdict(report)) if args.json else report.table())


def _completion(args: argparse.Namespace, console: Console) -> None:
    from .completion import script

    result(script(args.shell))


_COMMANDS: dict[str, Callable[[argparse.Namespace, Console], int | None]] = {
    "run": _run,
    "status": _status,
    "repair": _repair,
    "serve": _serve,
    "models": _models,
    "presets": _presets,
    "check": _check,
    "bench-engine": _bench_engine,
    "completion": _completion,
}
