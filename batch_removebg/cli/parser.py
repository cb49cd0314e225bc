"""The parsers of the command line and their help; imports nothing heavy, so that `--help` is immediate."""

from __future__ import annotations

import argparse
import math
import os
import re
from itertools import takewhile
from typing import Any, NoReturn

from batch_removebg import __version__
from batch_removebg.errors import SettingsError
from batch_removebg.run.declare import declared, nearest
from batch_removebg.run.options import CONFIG, TOLD, WORK, Options

EVERYDAY = {
    *("out", "provider", "base_url", "token_env", "id_column", "format", "background", "quality", "mask_only", "name"),
    *("limit", "max_predictions", "retry_failed", "dry_run", "quiet", "help"),
}
"""What `run --help` shows; `--help-all` shows the other flags too."""
_WATCHED = {"poll", "move_done", "move_failed"}
EXAMPLES = """\
examples:
  batch-removebg run photos --out cutouts
  batch-removebg run photos --out white --format jpeg --background white
  batch-removebg run catalogue.csv --out cutouts --provider replicate --max-predictions 500

"""
_DRY_RUN = "say what would be done and bought, and do nothing"
EXIT_CODES = """\
exit codes: 0 every item saved; 1 a bug; 2 usage, settings or manifest; 3 some items failed or are left;
4 aborted (key, credit, budget, disk, ledger); 5 out of time (--until, --max-runtime), the next run goes on;
11 OUT is locked by another run; 130 interrupted (143 by SIGTERM)"""

OUT = "BATCH_REMOVEBG_OUT"
SHELLS = ("bash", "zsh", "fish")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Shows help texts, which are Markdown for README, without backticks."""

    def _expand_help(self, action: argparse.Action) -> str:
        return super()._expand_help(action).replace("`", "")


class _Everyday(_Help):
    def add_argument(self, action: argparse.Action) -> None:
        if action.dest in EVERYDAY | _WATCHED or not action.option_strings:
            super().add_argument(action)


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, with the nearest word that is known; its subcommands' parsers are such, too."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"formatter_class": _Help} | given, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        for word in takewhile("--".__ne__, args if self._subparsers is None else ()):
            flag, known = word.partition("=")[0], self._option_string_actions
            if flag.startswith("--") and flag not in known:  # said before what is missing: it may be what was meant
                self.error(f"there is no flag {flag}{nearest(flag, known)}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices and value not in (words := list(action.choices)):
            raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(words)}{nearest(value, words)}")

    def error(self, message: str) -> NoReturn:
        message = re.sub("^argument |the following arguments are (?=required)", "", message)
        message = re.sub(r"invalid \w+ value: (.*)", r"\1 is no number", message)
        raise SettingsError(f"{message} (see {self.prog} --help)")


def parser(options: type[Options] = Options, *, everyday: bool = False) -> argparse.ArgumentParser:
    """The whole command line; `options` are the flags of `run`, whose help may be of the `everyday` ones only."""
    what = "Remove the background from folders and catalogues of product photos."
    root = _Parser(prog="batch-removebg", description=what, epilog=EXIT_CODES)
    root.add_argument("--version", action="version", version=f"batch-removebg {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    how = {"epilog": EXAMPLES + EXIT_CODES, "formatter_class": _Everyday if everyday else _Help}
    run = _batch(_command(commands, "run", "make cutouts, or continue an earlier run", **how), options)
    run.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    what = "make cutouts of what is there and of what arrives, until it is stopped"
    _watch(_command(commands, "watch", what, **how | {"epilog": EXIT_CODES}), options)
    _jobs(_command(commands, "jobs", "the runs that a configuration file describes as [[job]], one after the other"))
    _config(_command(commands, "config", "where the options of a run are from"), options)
    status = _command(commands, "status", "counts and failures of a run, from its ledger alone")
    status.add_argument("dir", metavar="DIR", help="the --out of a run")
    status.add_argument("--json", action="store_true", help="as one JSON object")
    status.add_argument(
        "--flags", nargs="?", const="", metavar="FLAG", help="instead, the cutouts worth a look: id, picture and flags"
    )
    status.add_argument("--names", action="store_true", help="ids alone, one a line: of --flags, else of what failed")
    status.add_argument("--watch", action="store_true", help="again and again, until the run has ended")
    diff = _command(commands, "diff", "what is new, changed, gone, worse (new flags) or better in a run")
    diff.add_argument("dir", metavar="OUT", help="the --out of the runs")
    for flag, dest, what in (("--from", "earlier", "the one before it"), ("--to", "later", "the last")):
        which = f"the {dest} run: its id, or its number from the end (default: {what})"
        diff.add_argument(flag, dest=dest, metavar="RUN", help=which)
    diff.add_argument("--json", action="store_true", help="every item that differs, as one JSON object a line")
    merge = _command(commands, "merge", "join the results of all shards of a run, once every row is there exactly once")
    merge.add_argument("outs", nargs="+", metavar="OUT", help="the --out of runs with --shard, or folders of shards")
    merge.add_argument(
        "--to", metavar="FILE.json", help="where it is put, beside a table .csv (default: OUT/results.json)"
    )
    repair = _command(commands, "repair", "mend a damaged ledger from what is left, and keep the old one")
    repair.add_argument("dir", metavar="OUT", help="the --out of a run")
    repair.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    _review(_command(commands, "review", "see the pictures of a run in a browser, and decide on them"))
    report = _command(commands, "report", "the same page as a folder of files, to be read without a server")
    report.add_argument("dir", metavar="OUT", help="the --out of a run")
    report.add_argument("--to", metavar="FOLDER|FILE.html", help="where it is put (default: OUT-report, beside OUT)")
    _export(_command(commands, "export", "hand over pictures by what was decided about them; 3 where some are missing"))
    _serve(_command(commands, "serve", "offer the predictions API on this machine"))
    _models(_command(commands, "models", "the local engine's weights"))
    _presets(_command(commands, "presets", "what shops ask of a picture"))
    _check(_command(commands, "check", "whether pictures are what a shop asks for; exit code 3 where one isn't"))
    _bench_engine(_command(commands, "bench-engine", "measure the local engine on this machine"))
    completion = _command(commands, "completion", "print what a shell needs to complete this command line")
    where = (
        'for ~/.bashrc: eval "$(batch-removebg completion bash)"; for ~/.zshrc, after compinit: the same with zsh; for '
        "~/.config/fish/config.fish: batch-removebg completion fish | source"
    )
    completion.add_argument("shell", choices=SHELLS, help=where)
    return root


def _command(commands: argparse._SubParsersAction[_Parser], name: str, what: str, **more: Any) -> _Parser:
    return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", **more)


def _batch(run: argparse.ArgumentParser, options: type[Options]) -> Any:
    """Add what all that runs has in common; returns the group of flags about its work."""
    run.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder, a picture, a glob, a manifest (.csv .tsv .json .jsonl .xlsx .txt …, also at a URL), a URL, "
        "or - for manifest lines on stdin",
    )
    out = os.environ.get(OUT) or None
    about = "folder for pictures, `ledger.jsonl` and `results.json`"
    run.add_argument("--out", required=out is None, default=out, metavar="DIR", help=about)
    run.usage = f"{run.prog} INPUT... --out DIR [flags]"
    run.add_argument("--help-all", dest="help", action="help", help="show all flags")
    groups: dict[str, Any] = {}
    for option in declared(options).values():
        if option.group not in groups:
            groups[option.group] = run.add_argument_group(option.group)
        option.add_to(groups[option.group])
    _files(run.add_argument_group("a configuration file"))
    _reported(groups[TOLD])
    return groups[WORK]


def _files(group: Any) -> None:
    about = "take the options of the file's [profile.NAME]; `--no-` before an option undoes it"
    group.add_argument("--profile", metavar="NAME", help=about)
    either = group.add_mutually_exclusive_group()
    about = "take options of this .toml file, not of `batch-removebg.toml` in this folder; see `batch-removebg config`"
    either.add_argument("--config", metavar="FILE", help=about)
    either.add_argument("--no-config", action="store_true", help="take options of no file; variables still count")


def _jobs(jobs: argparse.ArgumentParser) -> None:
    jobs.add_argument("names", nargs="*", metavar="NAME", help="of a job (default: all of them)")
    _files(jobs)
    jobs.add_argument("--dry-run", action="store_true", help=_DRY_RUN)
    _reported(jobs)


def _config(config: argparse.ArgumentParser, options: type[Options]) -> None:
    what = config.add_subparsers(dest="action", required=True, metavar="show|init")
    show = what.add_parser("show", help="every option of a run, its value, and where that is from")
    show.add_argument("job", nargs="?", metavar="JOB", help="those of one of the file's jobs")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    _files(show)
    init = what.add_parser("init", help="write a configuration file with the flags given, the others as comments")
    init.add_argument("file", nargs="?", default=CONFIG, metavar="FILE|-", help=f"default {CONFIG}; `-` is stdout")
    for parser in (show, init):
        parser.epilog = "The flags of run are taken, too."
        for option in (option for option in declared(options).values() if not option.once):
            option.add_to(parser, help=argparse.SUPPRESS)


def _reported(output: Any) -> None:
    output.add_argument(
        "--progress",
        type=str.lower,
        choices=("auto", "bar", "json", "none"),
        default="auto",
        help="`auto` (default): a bar where stderr is a terminal, else a line a minute; `json`: one event a line on "
        "stdout; one without `item` stands for `count` items that need nothing",
    )
    _logging(output)


def _watch(watch: argparse.ArgumentParser, options: type[Options]) -> None:
    _batch(watch, options)
    how = watch.add_argument_group("what is watched")
    how.add_argument(
        "--poll",
        type=float,
        metavar="S",
        help="look at all files each S seconds (default: when the system tells of changes; 10 on network shares)",
    )
    how.add_argument("--move-done", metavar="DIR", help="move photos there once their pictures are on record")
    how.add_argument("--move-failed", metavar="DIR", help="move photos there that have failed")


def _logging(group: Any) -> None:
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="of what goes to stderr (default `text`)"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="only errors")
    group.add_argument("-v", "--verbose", action="store_true", help="every single step")


def _review(review: argparse.ArgumentParser) -> None:
    review.add_argument("dir", metavar="OUT", help="the --out of a run, which may be going on")
    review.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    review.add_argument("--port", type=int, default=5056, help="default 5056, or the next free one; 0 takes any")
    declared(Options)["token_env"].add_to(
        review, help="environment variable with the key that browsers of other machines must bring"
    )
    review.add_argument("--no-browser", action="store_true", help="only print the address, and open none")


def _export(export: argparse.ArgumentParser) -> None:
    export.add_argument("dir", metavar="OUT", help="the --out of a run, which may be going on")
    verdicts = ("accepted", "rejected", "redo", "undecided")
    what = f"which pictures: {', '.join(verdicts)}; may be repeated"
    export.add_argument("--decision", action="append", required=True, choices=verdicts, help=what)
    where = "a folder, into which they are copied under their names, or a table of them; nothing else is overwritten"
    export.add_argument("--to", required=True, metavar="DIR|FILE.csv", help=where)
    export.add_argument("--preset", metavar="NAME", help="only the pictures for this preset")
    export.add_argument("--flag", metavar="FLAG", help="only of items with this flag")
    _logging(export)


def _serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", type=int, default=5055, help="default 5055; 0 takes a free one")
    options, network = declared(Options), serve.add_mutually_exclusive_group()
    for name in ("model_class", "model", "device", "precision", "max_pixels"):
        words = {"help": "the network: `fast`, `good` (default), or `best`"} if name == "model_class" else {}
        where = network if name.startswith("model") else serve
        options[name].add_to(where, default=options[name].default, **words)
    serve.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where uploads and results are kept while it runs (default: the system's temporary folder)",
    )
    serve.add_argument(
        "--keep",
        type=_seconds,
        default=3600.0,
        metavar="SECONDS|forever",
        help="how long uploads and results are kept (default 3600), 8 GiB of them at most; `forever`: until it ends",
    )
    options["token_env"].add_to(serve, help="environment variable with the key that callers must send")
    options["allow_private"].add_to(serve, help="fetch inputs from private and loopback addresses too")
    _logging(serve)


def _seconds(text: str) -> float:
    return math.inf if text == "forever" else float(text)


def _models(models: argparse.ArgumentParser) -> None:
    what = models.add_subparsers(dest="action", required=True, metavar="list|pull|verify|licence")
    what.add_parser("list", help="the networks that are known: class, size, licences, and what was measured")
    what.add_parser("pull", help="download weights to this machine").add_argument("name", metavar="NAME")
    for action, text in (("verify", "whether the weights here are the published ones"), ("licence", "the licences")):
        what.add_parser(action, help=text).add_argument("name", metavar="NAME", nargs="?")


def _presets(presets: argparse.ArgumentParser) -> None:
    what = presets.add_subparsers(dest="action", required=True, metavar="list|show")
    what.add_parser("list", help="the presets that are known: what a picture for each is like, and by whose word")
    show = what.add_parser("show", help="what one binds, and its rules, each with its source and the day of that")
    show.add_argument("name", metavar="NAME", help="a preset, or the .toml file of one of your own")


def _check(check: argparse.ArgumentParser) -> None:
    check.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a folder or a glob")
    declared(Options)["preset"].add_to(check, required=True, help="to judge by, see `presets list`; may be repeated")
    check.add_argument("--json", action="store_true", help="as one JSON object, with every rule and its source")
    _logging(check)


def _bench_engine(bench: argparse.ArgumentParser) -> None:
    options = declared(Options)
    options["model"].add_to(bench, help="weights (default: all that are on this machine)")
    options["device"].add_to(bench, default="auto", help="`auto` (default): every device that is available")
    bench.add_argument("--seconds", type=float, default=5.0, metavar="S", help="for each figure (default 5)")
    bench.add_argument("--json", action="store_true", help="as one JSON object")
    _logging(bench)
