"""The page's modules can be joined into one script, write no markup, and stay small."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

import batch_removebg.review

PAGE = Path(batch_removebg.review.__file__).with_name("page")
MODULES = sorted(PAGE.rglob("*.js"))
IMPORT = re.compile(r'import \{ [\w$, ]+ \} from "\.\.?/[\w./-]+\.js";')
EXPORT = re.compile(r"export (async )?(function|class|const) [\w$]+")
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) ([\w$]+)", re.MULTILINE)
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc")
CODE = re.compile(
    r"\beval\b|new Function|set(Timeout|Interval)\(\s*[\"'`]|javascript:|setAttribute\(\s*[\"'](style|on)"
)
MOST_GZIPPED = 60_000


def name(path: Path) -> str:
    return path.relative_to(PAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_imports_by_name_on_single_lines_before_all_else_and_exports_declarations(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    imports = [number for number, line in enumerate(lines) if re.match(r"\s*import\b", line)]
    assert [lines[number] for number in imports if not IMPORT.fullmatch(lines[number])] == []
    code = [number for number, line in enumerate(lines) if line and not re.match(r"\s*(import\b|//|/?\*)", line)]
    assert max(imports, default=-1) < code[0]
    assert [line for line in lines if line.lstrip().startswith("export") and not EXPORT.match(line)] == []
    assert [line for line in lines if re.match(r"await\b|\S.*= await\b", line)] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_what_a_module_imports_is_exported_where_it_says(path: Path) -> None:
    imports = re.findall(r'^import \{ ([^}]+) \} from "([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    for names, source in imports:
        exported = re.findall(r"^export (?:async )?\w+ ([\w$]+)", (path.parent / source).read_text(), re.MULTILINE)
        assert set(names.split(", ")) - set(exported) == set(), source


def test_no_two_modules_declare_the_same_name() -> None:
    names = Counter(each for path in MODULES for each in DECLARED.findall(path.read_text(encoding="utf-8")))
    assert [each for each, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_text_becomes_markup_or_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [found[0] for pattern in (MARKUP, CODE) for found in pattern.finditer(text)] == []


def test_the_page_itself_holds_no_script_no_style_and_nothing_from_elsewhere() -> None:
    markup = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=|javascript:", markup) == []
    for path in PAGE.rglob("*.*"):
        assert re.findall(r"https?://(?!www\.w3\.org/)[^\s\"']+", path.read_text(encoding="utf-8")) == [], path


def test_both_languages_have_the_same_texts_and_every_text_that_is_asked_for() -> None:
    english, chinese = (set(texts(code)) for code in ("en", "zh"))
    asked = {key for path in MODULES for key in re.findall(r'\btext\("([\w.-]+)"', path.read_text(encoding="utf-8"))}
    assert english ^ chinese == set()
    assert asked - english == set()


def texts(code: str) -> list[str]:
    """The keys of a language's texts; those of a singular count as their plural's."""
    return re.findall(
        r'^\s*"([\w.-]+?)(?:\.one)?":', (PAGE / f"texts/{code}.js").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_the_page_stays_small() -> None:
    files = [path.read_bytes() for path in sorted(PAGE.rglob("*.*"))]
    together, apart = gzipped(b"".join(files)), sum(map(gzipped, files))
    print(f"{len(files)} files of the page, {sum(map(len, files))} bytes; gzipped together {together}, apart {apart}")
    assert together <= MOST_GZIPPED


def gzipped(data: bytes) -> int:
    return len(gzip.compress(data, 9))
