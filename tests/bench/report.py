"""What was measured, kept: results.json, results.md, and the five lines in README."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.bench.figures import Case, Measured
from tests.bench.table import Results, headline, markdown

ROOT = Path(__file__).parent.parent.parent
RESULTS = Path(__file__).parent / "results"
HEADLINES = (
    ("9", "photographs a second ÷ rembg's, 2400 px", "photos of 2400 px a second here ÷ rembg's with the same weights"),
    ("5", "images a second ÷ the official client's", "images a second through an API ÷ the official client's"),
    ("1", "seconds ÷ ideal", "time of 600 images at an API's rate limit ÷ the ideal"),
    ("6", "resume over 1,000,000 saved items", "a resume over 1,000,000 saved items"),
    ("6", "peak memory, 1,000,000 items", "peak memory of a run over 1,000,000 URLs"),
)
"""Case and figure, and how README puts it."""
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def block(case: Case, found: Measured | str, machine: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A case's part of the results file; `found` is why there is none, where the case has failed."""
    failed = isinstance(found, str)
    return {
        "title": case.title,
        "method": case.method,
        "machine": machine,
        "seconds": round(seconds, 1),
        "failed": found if failed else None,
        "figures": [] if isinstance(found, str) else [figure.as_json() for figure in found.figures],
        "series": {} if isinstance(found, str) else found.series,
    }


def load(folder: Path = RESULTS) -> Results:
    """What was measured before; a run of some cases leaves the others' figures."""
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else {}


def merged(before: Results, now: Results) -> Results:
    """The cases of both, those of now first; figures of a million rows are kept until they are measured again."""
    result = {**before, **now}
    for name in before.keys() & now.keys():
        names = {figure["name"] for figure in now[name]["figures"]}
        old = [f for f in before[name]["figures"] if "1,000,000" in f["name"] and f["name"] not in names]
        if old:
            sizes = now[name]["series"].get("sizes", [])
            large = [s for s in before[name]["series"].get("sizes", []) if s["items"] == 1_000_000]
            figures = [*now[name]["figures"], *old]
            result[name] = now[name] | {
                "figures": figures,
                "series": now[name]["series"] | {"sizes": sizes + large},
                "kept": "figures of 1,000,000 items are of an earlier run",
            }
    return dict(sorted(result.items(), key=lambda case: int(case[0])))


def write(results: Results, folder: Path = RESULTS, readme: Path = ROOT / "README.md") -> None:
    """results.json, results.md, and README's lines between their markers."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({"v": 1, "cases": results}, ensure_ascii=False, indent=1) + "\n"
    (folder / "results.json").write_text(_short_lists(text), encoding="utf-8")
    (folder / "results.md").write_text(markdown(results), encoding="utf-8")
    page = readme.read_text(encoding="utf-8")
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    readme.write_text(f"{page[:before]}\n{headlines(results)}{page[after:]}", encoding="utf-8")


def headlines(results: Results) -> str:
    """README's lines: those of HEADLINES that were measured."""
    return "".join(f"- {text}: {headline(results[case], name)}\n" for case, name, text in HEADLINES if case in results)


def _short_lists(text: str) -> str:
    """Lists of numbers on one line, so that the file can be read and compared."""
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found.group().split()), text)
