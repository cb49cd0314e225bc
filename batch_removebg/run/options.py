"""The options of a run, each declared once: flags, checks, keyword arguments and README come from here. Light."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from batch_removebg.engine.devices import Device, Precision
from batch_removebg.finish.options import Align, Colours, Edges, Equal, Refine
from batch_removebg.imaging.format import EFFORT, QUALITY, Format, Limits, Metadata, format_name
from batch_removebg.model import REMOVE_BG
from batch_removebg.storage.layout import DEFAULT_TEMPLATE

from .declare import option

PROVIDER, PICTURES, PLACE, WORK = "provider", "pictures", "where the subject lies", "how much, how fast"
CONFIG = "batch-removebg.toml"  # in the working folder
READING, WEB, AGAIN, TOLD = "what is read", "the web", "runs after the first", "what is reported"


def _concurrency(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _mebibytes(text: str) -> int:
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in ("M", "G") else (text, "M")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise ArgumentTypeError(f"{text!r}: give MiB, such as 512, 512M or 2G")
    return int(number) * (1024 if unit == "G" else 1)


def _pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is read as JSON where it is valid JSON (0.5, true), else as text."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r}: write KEY=VALUE, such as threshold=0.5")
    try:
        found = json.loads(value)
        json.dumps(found, allow_nan=False)  # NaN is not JSON, though Python reads it
    except (ValueError, RecursionError):
        return key, value
    return key, found


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a run, laid out as a table; `batch-removebg run --help` explains each."""

    provider: Literal["local", "replicate", "gateway"] = option(
        "local", PROVIDER, "default `local`: nothing is billed unless you ask for another by name")
    base_url: str | None = option(
        None, PROVIDER, "`{URL}/predictions` is the create call; required for `gateway`", metavar="URL")
    token_env: str = option(
        "REPLICATE_API_TOKEN", PROVIDER, "environment variable with the key, which is never a flag", metavar="NAME")
    model_version: str = option(
        REMOVE_BG, PROVIDER, "version of the API's model (default lucataco/remove-bg)", metavar="V")
    input_field: str = option("image", PROVIDER, "the model's input for the picture", metavar="FIELD")
    model_inputs: Mapping[str, Any] = option(
        {}, PROVIDER, "a further input of the model; may be repeated",
        flag="--input", metavar="KEY=VALUE", read=_pair)
    model_class: Literal["fast", "good", "best"] | None = option(
        None, PROVIDER, "the local engine's network: `fast`, `good` (default), or `best`; OUT goes on with the one "
        "that it was made with", flag="--class")
    model: str | None = option(
        None, PROVIDER, "the network by name, see `batch-removebg models list`, or an .onnx file", metavar="NAME",
        path=r"\.onnx$")
    escalate: bool = option(
        False, PROVIDER, "let the next classes make again what has the flag `suspect`, `empty` or `full`, by the local "
        "engine; those of earlier runs too")
    zoom: bool = option(
        False, PROVIDER, "let the local engine look twice, the second time at the subject's surroundings alone: for "
        "subjects that are small in their photo")
    device: Device = option(
        "auto", PROVIDER, "where the local engine runs: `auto` (default) is the fastest that is available; "
        "`cpu` is onnxruntime; naming one that isn't available is an error")
    precision: Precision = option(
        "auto", PROVIDER, "what the local engine computes in: `auto` (default) is bf16 where the processor has it, "
        "else float32; masks that were made before are kept")
    fetch_sources: bool = option(
        False, PROVIDER, "download URL sources and keep their pixels, instead of passing the URL to the API")
    allow_private: bool = option(
        False, PROVIDER, "fetch from private and loopback addresses too (default: only if the API is at one)")
    proxy_size: int = option(2048, PROVIDER, "longest side of what is uploaded to an API", metavar="PX", least=64)
    on_lost: Literal["retry", "fail"] = option(
        "retry", PROVIDER, "a create whose answer was lost and that can't be looked for: `retry` sends it once more "
        "(default), `fail` fails the item")

    image_column: str | None = option(
        None, READING, "the manifest's column with the picture (default: the one that shops' exports have)",
        metavar="NAME")
    id_column: str | None = option(
        None, READING, "the manifest's column that tells rows apart (default: `id`, or what shops' exports have)",
        metavar="NAME")
    strict: bool = option(
        False, READING, "stop at a row that makes no sense (default: it fails alone, and the others are done)")
    ignore_query: tuple[str, ...] = option(
        (), READING, "a parameter of URLs that doesn't tell pictures apart, such as a token; those of pre-signed URLs "
        "are known; may be repeated", metavar="NAME")
    root: str | None = option(
        None, READING, "folder that ids and names of files are relative to (default: their common one; for that, a "
        "list of absolute paths on stdin is read to its end)", metavar="DIR", path=".")
    include: tuple[str, ...] = option(
        (), READING, "of folders, take only what matches; may be repeated", metavar="GLOB")
    exclude: tuple[str, ...] = option(
        (), READING, "of folders, leave out what matches; may be repeated", metavar="GLOB")
    follow_links: bool = option(False, READING, "in folders, follow links that lead out of them")
    shard: str | None = option(
        None, READING, "do the I-th of N parts of the rows, with its part of `--rate` and budgets, in a folder of its "
        "own in OUT, see `merge`; `auto` or `auto/N`: by the number of an array's task (Kubernetes, AWS Batch, Slurm)",
        metavar="I/N|auto")

    header: tuple[str, ...] = option(
        (), WEB, "a header for fetching sources, `NAME: VALUE` or `HOST[:PORT]=NAME: VALUE`; never sent to the API, "
        "never written; may be repeated", metavar="HEADER", secret=True)
    refresh: Literal["auto", "never", "always"] = option(
        "auto", WEB, "whether pictures that were downloaded are asked for again: `auto` (default) asks hosts that say "
        "whether one has changed, `always` downloads all, `never` none")
    give_up_after: float | None = option(
        None, WEB, "seconds of nothing but errors from the API until the run ends (default: 600 where it has never "
        "answered, 1800 elsewhere)", metavar="S", above=0)

    format: Format = option(
        "png", PICTURES, "JPEG has no transparency; AVIF always loses a little", read=format_name)
    mask_only: bool = option(False, PICTURES, "write the mask alone, as a grey picture")
    background: str | None = option(
        None, PICTURES, "compose on `white`, `#f0f0f0`, `240,240,240` or a picture; JPEG always is, by default "
        "on white", metavar="COLOUR|FILE", path=r"[./\\]")
    background_fit: Literal["fill", "fit"] = option(
        "fill", PICTURES, "of a background picture: `fill` (default) covers all, cut off where it is too long; `fit` "
        "shows all of it, on white")
    shadow: str = option(
        "none", PICTURES, "under the subject: `none`, `drop`, `contact`, `cast`, `float` or `reflection`, then what "
        "differs, as in `cast,opacity=0.5,azimuth=160`: `opacity`, `colour`; as parts of the subject's height "
        "`softness`, `length`, `gap`; of a cast one `elevation` and `azimuth`, where the light comes from (0 behind, "
        "90 right, 180 before it), `falloff`; the canvas grows for it", metavar="KIND[,KEY=VALUE…]")
    quality: int | None = option(
        None, PICTURES, "of JPEG, WebP and AVIF (default 90)", metavar="1-100", least=QUALITY[0], most=QUALITY[-1])
    lossless: bool = option(False, PICTURES, "write WebP without loss: three to ten times the bytes")
    colours: Colours = option(
        "auto", PICTURES, "`auto` (default) converts JPEG and WebP to sRGB, which shops expect, and keeps the photo's "
        "profile in other formats; `srgb` converts all, `keep` none but CMYK; the profile is embedded")
    srgb: bool = option(False, PICTURES, "the same as `--colours srgb`")
    metadata: Metadata = option(
        "strip", PICTURES, "`strip` (default) keeps only profile and resolution (WebP and AVIF hold no resolution); "
        "`keep` keeps EXIF and XMP too, without location, thumbnail and maker's note")
    effort: int = option(
        2, PICTURES, "how hard to try for smaller files of the same pixels; makes no picture anew (default 2: fast)",
        metavar="0-9", least=EFFORT[0], most=EFFORT[-1])
    edges: Edges = option(
        "clean", PICTURES, "`clean` (default) removes background spill from soft edges; `keep` leaves the photo's "
        "colours; opaque pixels are the photo's own, bit for bit")
    refine: Refine = option(
        "auto", PICTURES, "`auto` (default) fits small masks to the photo's own edges; `none` only enlarges them; "
        "neither costs a new prediction")
    clean_below: int = option(
        10, PICTURES, "clear what is fainter than this level of 255 and away from the subject; 0 clears nothing",
        metavar="N", least=0, most=255)
    preset: tuple[str, ...] = option(
        (), PICTURES, "make what a shop takes, see `batch-removebg presets list`; or the .toml file of one of your "
        "own; may be repeated, for several pictures of one prediction", metavar="NAME", path=r"\.toml$")
    trim: bool = option(
        False, PLACE, "lay out the subject's box instead of the whole photo; `--margin` to `--align` imply it")
    margin: str | None = option(
        None, PLACE, "free space around the subject at least: `20px`, or `5%` of the output; one, two or four values "
        "in CSS order; none at sides where the photo cuts the subject off: it lies at that edge", metavar="SIZE")
    canvas: str | None = option(
        None, PLACE, "size of the output, `2000x2000`; the subject is reduced to it, enlarged only with `--enlarge`",
        metavar="WxH")
    aspect: str | None = option(
        None, PLACE, "shape of the output, `3:4`: the smaller side grows for it, and no pixel is resampled",
        metavar="W:H")
    fill: str | None = option(
        None, PLACE, "the subject's share of the output, `85%`, along the side that it takes most of; where margins "
        "leave less, they win", metavar="PCT")
    align: Align = option(
        "centre", PLACE, "`centre` (default), `bottom`: all on one base line, or `centroid`: the alpha's mean place in "
        "the middle")
    enlarge: bool = option(
        False, PLACE, "let the subject become larger than in the photo; else it stays smaller, and is flagged `small`")
    scale_group: str | None = option(
        None, PLACE, "a column of the manifest: items with the same cell are given one scale and one base line; for "
        "that, pictures are made twice where they need it", metavar="COLUMN")
    scale_equal: Equal = option(
        "scale", PLACE, "what a group has in common: `scale` (default), pixels for one of the photo; or `area`, what "
        "each subject covers")
    trim_level: int = option(
        10, PLACE, "what is fainter than this level of 255 doesn't count for the subject's box", metavar="N",
        least=0, most=255)
    trim_specks: str = option(
        "0.1%", PLACE, "clear pieces smaller than this share of the subject's area; 0 clears none", metavar="PCT")
    name: str = option(
        DEFAULT_TEMPLATE, PICTURES, "output names without extension: `{id}` (default), `{stem}`, `{parent}`, `{name}`, "
        "and the manifest's columns", metavar="TEMPLATE")
    hold_flagged: bool = option(
        False, PICTURES, "keep pictures with flags in OUT's `.batch-removebg/held/` until they are accepted "
        "(`batch-removebg review`): the next run then moves them to their names, with or without this flag; those that "
        "lie there already stay")
    max_size: int = option(200, PICTURES, "largest source or output, in MiB", metavar="MIB", least=1)
    max_pixels: int = option(
        Limits().max_pixels, PICTURES, "largest picture, in pixels, checked before it is decoded", metavar="N", least=1)
    memory: int | None = option(
        None, PICTURES, "for pictures in work and an API's long answers, also `512M` or `2G`; what takes more is "
        "worked on alone (default: a quarter of the machine's or the container's, 2048 at most)",
        metavar="MIB", least=64, read=_mebibytes)

    concurrency: int | None = option(
        None, WORK, "items in flight (default `auto`: what keeps the API's limit busy, 256 at most; local: cores + 2)",
        metavar="auto|N", least=1, most=1000, read=_concurrency)
    rate: float | None = option(
        None, WORK, "creates per minute (default: as many as the server's answers allow)", metavar="N", above=0)
    workers: str = option(
        "here", WORK, "`ray`: the work on pixels is done by Ray's actors, on this machine, or of the cluster at an "
        "address; all nodes must reach OUT and, by the same paths, the sources", metavar="here|ray|[ray://]HOST:PORT")
    limit: int | None = option(None, WORK, "do at most N items in this run", metavar="N", least=1)
    max_predictions: int | None = option(
        None, WORK, "buy at most N predictions in this run, then stop with exit code 4", metavar="N", least=0)
    max_cost: float | None = option(
        None, WORK, "spend at most so many US dollars in this run, then stop with exit code 4; needs `--price`",
        metavar="USD", least=0)
    price: float | None = option(
        None, WORK, "US dollars of one prediction, for `--max-cost` and the summary", metavar="USD", above=0)
    deadline: float = option(
        900.0, WORK, "seconds a prediction may take before it is cancelled and another is tried", metavar="S", least=1)
    max_cost_total: float | None = option(
        None, WORK, "spend at most so many US dollars in all runs over this OUT; needs `--price`",
        metavar="USD", least=0)
    until: str | None = option(
        None, WORK, "end when the clock shows this, within a day: nothing is bought that would not come home by then, "
        "and the next run goes on with what is left (exit code 5)", metavar="HH:MM")
    max_runtime: str | None = option(
        None, WORK, "end in the same way after `4h`, `90m` or seconds; of both, the earlier counts", metavar="TIME")
    every: str | None = option(
        None, WORK, "run again and again, each time so long after the last run began (`1h`, `90m`, seconds), until "
        "`--until` or a signal; what is forced is so once", metavar="TIME")
    retry_failed: bool = option(
        False, AGAIN, "try items again that failed for good (passing faults are tried again by every run)")
    redo: tuple[str, ...] = option(
        (), AGAIN, "make anew what was `rejected` (or is to be redone) in the review, or `undecided-flagged`: as was "
        "asked for there, with `--class`, `--model`, `--zoom`, `--refine` or `--edges` of this command, which then are "
        "for these alone, or by the next better class; it stays so in later runs; may be repeated",
        metavar="rejected|undecided-flagged")
    force: tuple[str, ...] | None = option(
        None, AGAIN, "make the items with these ids anew, from kept masks where there are any; without an ID: all; "
        "give it after the INPUTs", metavar="ID", many=True, once=True)
    buy_again: bool = option(
        False, AGAIN, "buy what a saved picture could give, such as another format of a URL's cutout")
    state: str | None = option(
        None, AGAIN, "of an `--out` in a bucket: the folder of this machine for the ledger and bought masks; into an "
        "empty one the bucket's ledger is fetched", metavar="DIR", path=".")
    prune: bool = option(False, AGAIN, "move pictures of rows aside that have left the manifest")
    start_over: bool = option(
        False, AGAIN, "where the ledger is damaged, or once held more, keep it under another name and begin a new one",
        once=True)
    grace: float = option(
        30.0, WORK, "seconds to wait for what is in flight when the run is stopped", metavar="S", least=0)

    summary: str | None = option(
        None, TOLD, "how the run went, as one JSON document; `-`: as the last line on stdout, as with "
        "`--progress json`", metavar="FILE|-", path="^(?!-$)")
    metrics: str | None = option(
        None, TOLD, "figures of the run for Prometheus, in a file of node_exporter's textfile collector; runs with "
        "another `--out` may share it", metavar="FILE.prom", path=".")

    @property
    def away(self) -> bool:
        """Whether the workers are those of a cluster."""
        return self.workers != "here"
