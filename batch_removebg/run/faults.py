"""What is wrong with a run's settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from batch_removebg.errors import INSTALL
from batch_removebg.manifest.columns import url_problem

from .options import Options

LOSSY = ("jpeg", "avif")
_WORKERS = re.compile(r"here|ray|(ray://)?([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)


def faults(options: Options, *, local: bool, own: bool) -> Iterator[str]:
    """What is wrong with settings; `local`: the engine makes the predictions, `own`: a provider of somebody's own."""
    provider, url, version = options.provider, options.base_url, options.model_version
    if provider == "local" and url:
        yield "--base-url belongs to --provider replicate or gateway; nothing is billed by --provider local"
    if provider == "gateway" and not url:
        yield "--provider gateway needs --base-url, such as https://HOST/replicate/v1"
    if url is not None:
        yield from _faults_of_url(url)
    if not re.fullmatch(r"(?!r8_)[A-Za-z_][A-Za-z0-9_]*", options.token_env):
        yield "--token-env takes the name of an environment variable, such as REPLICATE_API_TOKEN; never the key itself"
    if not re.fullmatch(r"([\w.-]+/[\w.-]+:)?[0-9A-Za-z._-]+", version) or version.rpartition(":")[2] == "latest":
        yield f"--model-version {version}: give the version's 64-digit id, or owner/name:id; `latest` is not a version"
    if not options.input_field:
        yield "--input-field is empty; name the model's input for the picture, such as image"
    if options.input_field in options.model_inputs:
        yield f"--input {options.input_field}=…: that field takes the picture itself"
    if options.model is not None and options.model_class is not None:
        yield f"--class {options.model_class} and --model {options.model}: give one of them"
    for flag, asked in (("--class", options.model_class), ("--model", options.model)):
        if asked is not None and not local:
            yield f"{flag} belongs to --provider local"
    if options.escalate and not local:
        yield "--escalate belongs to --provider local: what it would cost elsewhere isn't known"
    if options.zoom and (options.escalate or not local):
        yield "--zoom belongs to --provider local, and goes without --escalate"
    if options.metrics is not None and not options.metrics.endswith(".prom"):
        yield f"--metrics {options.metrics}: node_exporter reads files that end in .prom alone; name it so"
    if options.metrics is not None and find_spec("prometheus_client") is None:
        yield f"--metrics needs the package prometheus_client; bring it by: {INSTALL.format('metrics')}"
    for one in options.redo:
        if one not in ("rejected", "undecided-flagged"):
            yield f"--redo {one}: choose one of rejected, undecided-flagged"
    for flag, most in (("--max-cost", options.max_cost), ("--max-cost-total", options.max_cost_total)):
        if most is not None and options.price is None:
            yield f"{flag} needs --price, the US dollars of one prediction, such as 0.00044"
    if options.scale_equal != "scale" and options.scale_group is None:
        yield "--scale-equal needs --scale-group, the column that tells groups"
    if options.prune and options.shard is not None:
        yield "--prune doesn't go with --shard: a row with another picture may be another shard's, which hasn't made it"
    if options.lossless and options.format in LOSSY:
        yield f"--lossless: {options.format} always loses a little; choose --format webp, png or tiff"
    workers = f"--workers {options.workers}"
    if not _WORKERS.fullmatch(options.workers):
        yield f"{workers}: give here, ray (a cluster on this machine), HOST:PORT or ray://HOST:PORT"
    elif options.away and own:
        yield f"{workers} goes without a provider of one's own, which is in this process alone"
    elif options.away and options.provider != "local" and not options.fetch_sources:
        yield f"{workers} needs --fetch-sources: else cutouts of URLs that the API fetches would all come through here"


def _faults_of_url(url: str) -> Iterator[str]:
    if url[:4].lower() != "http" or url_problem(url) is not None or re.search(r"[?# ]", url) or not url.isprintable():
        yield "--base-url must be an http(s) address without a query, such as https://HOST/replicate/v1"
    elif "@" in urlsplit(url).netloc:
        yield "--base-url must not hold a user or password; put the key into the environment"
    elif url.rstrip("/").endswith("/predictions"):
        yield "--base-url is the part before /predictions; leave that off"
