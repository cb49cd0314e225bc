"""What the documents name exists: files, headings, make targets; and they show layers and wrappers as they are."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

from batch_removebg.run import assemble

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "batch_removebg"
FOUND = [
    *(ROOT.glob("*.md"), (ROOT / ".github").glob("*.md")),
    *(folder.rglob("*.md") for folder in (PACKAGE, ROOT / "samples", ROOT / "tests")),
]
DOCUMENTS = sorted(path for some in FOUND for path in some if path.stem in ("README", "CONTRIBUTING", "CHANGELOG"))
ELSEWHERE = ("OUT/", "batch-removebg.toml", "compiled/", "skimage/")
"""Beginnings of paths that aren't this repository's: a run's OUT and options, the weights' folder, another project."""


def text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def prose(document: Path) -> str:
    """The document without its blocks of code."""
    return re.sub(r"^```.*?^```|^    .*?$", "", text(document), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document: Path) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", prose(document)):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def dead_paths(document: Path) -> list[str]:
    """Paths in backticks that exist neither beside the document nor in the root nor in the package."""
    words = re.findall(r"`([\w. -]+(?:/[\w. -]+)*/?)`", prose(document))
    paths = [word for word in words if "/" in word or re.search(r"\w\.(py|md|toml)$", word)]
    places = (document.parent, ROOT, PACKAGE)
    return [
        path
        for path in paths
        if not path.startswith(ELSEWHERE) and not any((place / path).exists() for place in places)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_every_path_leads_somewhere(document: Path) -> None:
    assert dead_links(document) == []
    assert dead_paths(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", text(document), flags=re.MULTILINE))
    assert named - set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE)) == set()


def test_there_are_the_documents_of_every_place() -> None:
    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS} >= {
        *(".github/CONTRIBUTING.md", "CHANGELOG.md", "README.md", "batch_removebg/README.md"),
        *("samples/README.md", "tests/README.md"),
    }


def test_the_architecture_lists_the_folders_in_the_order_of_their_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(layer for layer in contracts["contracts"] if layer["name"] == "Folders are layers")["layers"]
    listed = re.findall(r"^- `([^`]+)` ", (PACKAGE / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [entry.rstrip("/") for entry in listed] == [layer.replace(" | ", " ") for layer in layers]


def test_the_architecture_shows_the_wrappers_in_their_order() -> None:
    wrappers = re.findall(r"lambda inner: (\w+)\(", inspect.getsource(assemble.wrapped))
    assert len(wrappers) == 5
    assert f"\n{' ▸ '.join(reversed(wrappers))} ▸ the provider." in (PACKAGE / "README.md").read_text(encoding="utf-8")
