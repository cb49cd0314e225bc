"""The import layers of pyproject.toml hold, and start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "batch_removebg"


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def test_no_modules_import_each_other_in_a_circle_even_for_their_types() -> None:
    modules = {_module(path): path for path in PACKAGE.rglob("*.py")}
    graph = {name: _imported(name, path, modules) for name, path in modules.items()}
    while leaves := [name for name, needed in graph.items() if not needed & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}, "these import each other in a circle, or need those that do"


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(module: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """The package's modules that one imports anywhere, `if TYPE_CHECKING` and function bodies included."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, [package if node.level else "", node.module]))
            found |= {inner if (inner := f"{source}.{name.name}") in modules else source for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return (found & modules.keys()) - {module}


def test_the_package_root_holds_the_vocabulary_and_the_face_alone() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {
        *("__init__", "__main__"),
        *("clock", "errors", "events", "hashing", "model", "resources", "shared_memory", "stop", "systemd", "worker"),
    }


def test_the_tests_mirror_the_folders() -> None:
    folders = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert {folder for folder in folders if not list((ROOT / "tests" / folder).glob("test_*.py"))} == set()


def test_importing_the_package_and_its_command_line_imports_nothing_heavy() -> None:
    code = "import sys, batch_removebg, batch_removebg.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "batch_removebg.cli.main" in loaded
    heavy = {"numpy", "PIL", "aiohttp", "onnxruntime", "tqdm", "asyncio", "msgspec", "sqlite3"}
    assert heavy.intersection(loaded) == set()


_URL_RUN = """
import os
import sys
from batch_removebg.cli.main import run_command
from batch_removebg.providers.replicate import Replicate

async def create(self, request):
    sys.stdout.write(" ".join(sys.modules))
    sys.stdout.flush()
    os._exit(0)

Replicate.create = create
os.environ["REPLICATE_API_TOKEN"] = "key"
run_command(["run", "https://shop.example/a.jpg", "--out", sys.argv[1], "--provider", "replicate"])
"""


def test_a_run_over_urls_reaches_its_first_create_without_what_only_pictures_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _URL_RUN, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    loaded = set(done.stdout.split())
    assert "aiohttp" in loaded, done.stderr
    assert not loaded & {"PIL", "numpy", "onnxruntime", "aiohttp.web", "tqdm", "aiofiles"}


_LOCAL_RUN = """
import os
import sys
from batch_removebg.run import batch
from batch_removebg.cli.main import run_command
from batch_removebg.providers.local import LocalProvider

async def create(self, request):
    sys.stdout.write(" ".join(sys.modules))
    sys.stdout.flush()
    os._exit(0)

batch._download_weights = lambda *_: None
LocalProvider.create = create
run_command(["run", sys.argv[1], "--out", sys.argv[2]])
"""


def test_a_run_over_files_reaches_its_first_prediction_here_without_what_only_the_network_needs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (60, 40), "red").save(tmp_path / "in" / "a.jpg")
    done = subprocess.run(
        [sys.executable, "-c", _LOCAL_RUN, str(tmp_path / "in"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded, done.stderr
    assert not loaded & {"aiohttp", "onnxruntime", "tqdm"}


def test_help_imports_no_event_loop_and_nothing_of_a_run() -> None:
    code = (
        "import sys\nfrom batch_removebg.cli.main import run_command\nrun_command(['run', '--help'])\n"
        "sys.stdout.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {"asyncio", "uvloop", "aiohttp", "PIL", "numpy", "onnxruntime", "tqdm", "filelock"}
    assert "batch_removebg.cli.parser" in loaded
    assert not loaded & heavy


def test_everything_exported_exists_and_the_list_is_sorted() -> None:
    import batch_removebg

    assert list(batch_removebg.__all__) == sorted(batch_removebg.__all__)
    assert all(getattr(batch_removebg, name) is not None for name in batch_removebg.__all__)


def test_no_function_is_longer_than_fifty_lines_and_no_file_than_four_hundred() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                assert (node.end_lineno or 0) - body[0].lineno < 50, f"{path}: {node.name}"
