"""The commands: arguments in, exit code out. The one place that decides what is printed where."""

from __future__ import annotations

import argparse
import json
import math
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
from batch_removebg.errors import Interrupted, SettingsError
from batch_removebg.net.urls import clean
from batch_removebg.run.declare import declared
from batch_removebg.run.options import Options
from batch_removebg.run.shards import require_place
from batch_removebg.storage.layout import STATE
from batch_removebg.storage.objects import is_object

from .console import Console, failure, logged, printable, result
from .parser import parser
from .progress import JsonLines, Silent, listener, ticking

SOME_FAILED = 3


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
        in_folder = args.command in ("repair", "review", "report", "export")
        for url in filter(is_object, (*getattr(args, "outs", ()), getattr(args, "dir", ""))):
            needed = "works on folders only" if in_folder else "takes the --state of a run, a folder of this machine"
            raise SettingsError(f"{args.command} {needed}, and {clean(url)} is in a bucket")
        if in_folder:
            from batch_removebg.run.place import refuse

            refuse(Path(args.dir), args.command)
        return _COMMANDS[args.command](args, console) or 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # whatever isn't known is a bug, with an exit code
        return failure(error, console)


def _run(args: argparse.Namespace, console: Console) -> int:
    summary = _once(args.inputs, *_settings(args), args=args, console=console)
    return summary.exit_code if summary else 0


def _jobs(args: argparse.Namespace, console: Console) -> int:
    from . import jobs

    return jobs.command(args, console, partial(_once, args=args, console=console))


def _once(inputs: list[str], settings: Any, extras: Any, *, args: argparse.Namespace, console: Console) -> Any:
    """The summary of a run, which is reported, or of the last one of several; None of a dry one."""
    if args.dry_run:
        _dry_run(inputs, settings, console, as_json=args.progress == "json")
        return None
    from batch_removebg.run.repeat import every

    if settings.every is not None and "-" in inputs:
        raise SettingsError("--every reads the manifest each time, which stdin can't be: write it to a file first")
    extras.notifier.detail = console.detail
    work: Any = partial(_told, inputs, extras, args.progress, args.quiet, console)
    if settings.every is not None:
        from batch_removebg.run.notify.targets import BRIEF

        extras.notifier.pace = BRIEF
        work = partial(every, work, clock=Clock(), tell=Silent(console))
    # A caller of the library has a loop of their own; this process runs on the fastest one available.
    return anyio.run(work, settings, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _told(
    inputs: list[str], extras: Any, progress: str, quiet: bool, console: Console, settings: Any, signals: Any = True
) -> Any:
    """The summary of a run, which is reported; `signals`: what it hears them by."""
    from batch_removebg.run.night import told

    from . import report

    with listener(progress, console) as shown:
        batch = partial(told, inputs, settings, extras, listener=shown, handle_signals=signals)
        summary = await ticking(shown, partial(batch, weights_progress=shown.weights))
    console.info(report.closing(summary, settings), event="summary")
    if quiet and summary.exit_code != 0:
        console.error(report.outcome(summary))
    if isinstance(shown, JsonLines):
        shown.put({"event": "summary", **summary.as_json()})
    else:
        result(json.dumps(summary.as_json()) if settings.summary == "-" else str(summary.results))
    return summary


def _watch(args: argparse.Namespace, console: Console) -> int:
    from batch_removebg.run.night import told, written
    from batch_removebg.run.notify.targets import BRIEF
    from batch_removebg.run.put_away import Shelves
    from batch_removebg.run.watch import watch

    (settings, extras), paths = _settings(args), (args.move_done, args.move_failed)
    extras.notifier.detail = console.detail
    if args.poll is not None and not 0 < args.poll < math.inf:
        raise SettingsError(f"--poll {args.poll:g}: give a number of seconds above 0")
    extras.notifier.pace = BRIEF
    if settings.bucket and any(paths):
        raise SettingsError("--move-done and --move-failed need an --out that is a folder: leave them out")
    shelves = Shelves(*(Path(path) if path else None for path in paths))
    with JsonLines(console) if args.progress == "json" else Silent(console) as shown:
        work = partial(watch, args.inputs, settings, say=console.info, listener=shown, poll=args.poll, shelves=shelves)
        work = partial(work, beat=extras.beat and partial(written, extras.beat))
        work = partial(work, run=lambda inputs, settings, **given: told(inputs, settings, extras, **given))
        try:
            return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None}).exit_code
        except Interrupted as signalled:  # before anything came
            return 128 + signalled.number


def _dry_run(inputs: list[str], settings: Any, console: Console, *, as_json: bool) -> None:
    from batch_removebg.run.dry_run import ENDINGS, preview, require
    from batch_removebg.run.feeds import downloaded

    if settings.bucket:
        raise SettingsError("--dry-run looks at folders only: an empty one as --out shows what a first run would buy")
    from . import report

    require(settings)  # before anything else
    download = downloaded(inputs, settings, Clock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(download) as files:
        found = preview(files, settings, Silent(console))
    plain = {name: found[name] for name in ("total", *ENDINGS)} | {"billed": not settings.local}
    result(json.dumps(plain) if as_json else report.preview(found, settings))


def _settings(args: argparse.Namespace) -> Any:
    from . import config

    if not args.out:
        raise SettingsError("--out is empty; name a folder for the pictures (is a shell variable unset?)")
    return config.settings(args, config.found(args), args.out)


def _config(args: argparse.Namespace, console: Console) -> None:
    from . import config

    (config.show if args.action == "show" else config.init)(args)


def _status(args: argparse.Namespace, console: Console) -> None:
    from . import status

    status.show(args)


def _diff(args: argparse.Namespace, console: Console) -> None:
    from . import diff

    diff.show(args)


def _merge(args: argparse.Namespace, console: Console) -> int:
    from batch_removebg.run.merge import merge

    merged = merge([Path(out) for out in args.outs], Path(args.to) if args.to else None)
    console.info(str(merged))
    result(str(merged.to))
    return merged.exit_code


def _repair(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.ledger.repair import repair
    from batch_removebg.storage.lock import locked

    from . import report

    out, clock = Path(args.dir), Clock()
    if not out.is_dir():
        raise SettingsError(f"{args.dir} is no folder; give the --out of a run")
    require_place(out, None)
    with nullcontext() if args.dry_run else locked(out / STATE, clock=clock):
        found = repair(out, clock.stamp(), dry_run=args.dry_run)
    result(report.repaired(found, dry_run=args.dry_run))


def _review(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.review.listen import ReviewSettings, review

    browser, key = not args.no_browser, _key(args)
    settings = ReviewSettings(out=Path(args.dir), host=args.host, port=args.port, key=key, browser=browser)
    with logged(console):
        anyio.run(partial(review, settings, ready=result, say=console.info))


def _report(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.review.report import report

    out = Path(args.dir)
    to = Path(args.to) if args.to else out.resolve().with_name(f"{out.resolve().name}-report")
    result(str(anyio.run(partial(report, out, to, say=console.info))))


def _key(args: argparse.Namespace) -> str | None:
    """The key in the environment variable that `--token-env` names; None where none is named."""
    named, key = args.token_env, ""
    if named is not None and not (key := os.environ.get(named, "").strip()):
        raise SettingsError(f"--token-env {named}: that environment variable is not set; set it, or leave the flag out")
    return key or None


def _export(args: argparse.Namespace, console: Console) -> int:
    from batch_removebg.run.export import Choice, export

    done = export(Path(args.dir), Path(args.to), Choice(args.decision, args.preset, args.flag), console.error)
    result(str(done))
    return SOME_FAILED if done.lacking else 0


def _serve(args: argparse.Namespace, console: Console) -> None:
    from batch_removebg.engine import weights
    from batch_removebg.imaging.format import Limits
    from batch_removebg.server.listen import INPUT_POLICY, ServeSettings, serve

    declared(Options)["max_pixels"].check(args.max_pixels)
    settings = ServeSettings(
        host=args.host,
        port=args.port,
        model=weights.known(args.model or weights.CLASSES[args.model_class or weights.DEFAULT]),
        device=args.device,
        precision=args.precision,
        token=_key(args),
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
    "jobs": _jobs,
    "config": _config,
    "watch": _watch,
    "status": _status,
    "diff": _diff,
    "merge": _merge,
    "repair": _repair,
    "review": _review,
    "report": _report,
    "export": _export,
    "serve": _serve,
    "models": _models,
    "presets": _presets,
    "check": _check,
    "bench-engine": _bench_engine,
    "completion": _completion,
}
