"""The plots, of what the results file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "batch-removebg"  # the same figures make the same file

from matplotlib import pyplot  # noqa: E402  # after the choice of what it draws with
from matplotlib.axes import Axes  # noqa: E402

Series = dict[str, Any]


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """One SVG for each case that has something to show."""
    made = []
    for name, (file, plot) in _PLOTS.items():
        series = results.get(name, {}).get("series")
        if series:
            figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
            plot(axes, series)
            path = folder / f"{file}.svg"
            figure.savefig(path, metadata={"Date": None})
            pyplot.close(figure)
            made.append(path)
    return made


def _creates(axes: Axes, series: Series) -> None:
    per_minute, burst = series["limit"]
    for name, label in (("untold", "not told the limit"), ("told", "told with --rate")):
        if name in series:
            axes.plot(series[name], range(1, len(series[name]) + 1), label=label)
    end = max(max(series[name]) for name in ("untold", "told") if name in series)
    count = len(series["untold"])
    ideal = [(0, burst), ((count - burst) * 60 / per_minute, count)]
    axes.plot(*zip(*ideal, strict=True), "k--", linewidth=1, label="the limit")
    axes.set(xlabel="seconds since the first create", ylabel="creates accepted", title="Creates against the limit")
    axes.set_xlim(0, end * 1.02)
    axes.legend()


def _low_credit(axes: Axes, series: Series) -> None:
    axes.plot(series["created"], range(1, len(series["created"]) + 1), label="accepted")
    axes.plot(series["rejected"], range(1, len(series["rejected"]) + 1), "r.-", markersize=3, label="rejected")
    axes.axvline(series["low_seconds"], color="k", linestyle="--", linewidth=1, label="the limit lifts")
    axes.set(xlabel="seconds since the first create", ylabel="creates", title="Little credit, and credit again")
    axes.legend()


def _delays(axes: Axes, series: Series) -> None:
    top = max(0.75, sorted(series["poll"])[int(0.99 * len(series["poll"]))])
    for name, label in (("poll", "by polling alone"), ("wait", "with Prefer: wait")):
        shown = [min(delay, top) for delay in series[name]]
        axes.hist(shown, bins=40, range=(0, top), alpha=0.6, label=label)
    axes.axvline(0.5, color="k", linestyle="--", linewidth=1, label="0.5 s")
    axes.set(xlabel="seconds from ready to in hand (the last bin: and more)", ylabel="predictions")
    axes.set_title("Result in hand")
    axes.legend()


def _in_flight(axes: Axes, series: Series) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set(xlabel="seconds since the first create", ylabel="predictions in flight", title="In flight")
    axes.legend()


def _speed(axes: Axes, series: Series) -> None:
    speed = series["speed"]
    names = ["ours", "official", "bare"]
    bars = axes.bar(["batch-removebg", "official client", "bare aiohttp loop"], [median(speed[n]) for n in names])
    axes.bar_label(bars, fmt="%.0f")
    for index, name in enumerate(names):
        axes.plot([index, index], [min(speed[name]), max(speed[name])], "k-", linewidth=1.5)
    axes.set(ylabel="images a second (median, min–max)", title="A server that answers at once, pictures of 200 kB")


def _scale(axes: Axes, series: Series) -> None:
    sizes = series["sizes"]
    items = [size["items"] for size in sizes]
    axes.plot(items, [median(s["seconds"]) for s in sizes], "o-", label="time an item, ms")
    axes.plot(items, [median(s["cpu"]) for s in sizes], "s-", label="CPU an item, ms")
    axes.plot(items, [median(s["rss"]) for s in sizes], "^-", label="peak memory, MB")
    axes.plot(items, [median(s["first_create"]) for s in sizes], "v-", label="first create, s")
    axes.set(xscale="log", yscale="log", xlabel="items", title="Cost over the number of items")
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend()


def _scaling(axes: Axes, series: Series) -> None:
    actors = [row["actors"] for row in series["real"]]
    axes.plot(actors, [row["rate"] for row in series["real"]], "o-", label="one driver")
    axes.plot(actors, [row["linear"] for row in series["real"]], "k--", linewidth=1, label="linear")
    limit = max(row["rate"] for row in series["limit"])
    axes.axhline(limit, color="C3", linewidth=1, label=f"the driver's limit: {limit:.0f}/s")
    axes.set(xscale="log", yscale="log", xlabel="actors", ylabel="images a second", title="How far one driver goes")
    axes.set_xticks(actors, map(str, actors))
    axes.legend()


_PLOTS: dict[str, tuple[str, Callable[[Axes, Series], None]]] = {
    "1": ("creates", _creates),
    "2": ("low-credit", _low_credit),
    "3": ("delays", _delays),
    "4": ("in-flight", _in_flight),
    "5": ("speed", _speed),
    "6": ("scale", _scale),
    "scaling": ("scaling", _scaling),
}
