"""A runtime runs where it was asked to or says that it does not, and callers in several threads are kept apart."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_removebg.engine.devices import NO_MEMORY, Choice, Device, Installed
from batch_removebg.engine.runtimes import onnx, opening, openvino
from batch_removebg.engine.runtimes.opening import Runtime, look, open_runtime
from batch_removebg.engine.weights import MODELS, Weights
from batch_removebg.errors import PredictionFailed, SettingsError
from tests.support.local_doubles import SMALL, brought

CPU, CUDA = Choice("cpu", "float32"), Choice("cuda", "float32")
OV32, OV16 = Choice("openvino", "float32"), Choice("openvino", "bf16")


class Loaded:
    """A runtime that runs where it should."""

    def __init__(self, used: Choice) -> None:
        self.used = used

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        return tensor[0, 0]


class Machine:
    """Offers these choices, opens all but the broken ones, and remembers what was tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *choices: Choice, broken: tuple[Choice, ...] = ()) -> None:
        self.broken = broken
        self.tried: list[Choice] = []
        monkeypatch.setattr(opening, "look", lambda device: Installed(("CPUExecutionProvider",)))
        monkeypatch.setattr(opening, "resolve", lambda device, precision, installed: choices)
        monkeypatch.setattr(opening, "_open", self.open)

    def open(self, model: Weights, choice: Choice, batched: bool) -> Runtime:
        self.tried.append(choice)
        if choice in self.broken:
            raise SettingsError(f"no {choice}")
        return Loaded(choice)


@functools.cache
def real(choice: Choice) -> Runtime:
    """The true weights on a runtime; skipped where either can't be had."""
    try:
        return open_runtime(brought(SMALL), choice.device, choice.precision)
    except SettingsError as error:
        pytest.skip(str(error))


def needs(offered: tuple[str, ...] | None) -> None:
    """Skip where a runtime is not installed; asked of our own modules, since a bare import reports to its makers."""
    if offered is None:
        pytest.skip("needs onnxruntime and openvino, of the extra `local`")


def said_by_a_new_process(code: str) -> str:
    """What it prints: only there nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tensor(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (1, 3, 320, 320)).astype(np.float32)


def test_the_first_choice_that_works_is_taken_and_no_other_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, CUDA, OV16, CPU, broken=(CUDA,))
    assert open_runtime(SMALL).used == OV16
    assert machine.tried == [CUDA, OV16]


def test_where_none_works_the_last_ones_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, CUDA, CPU, broken=(CUDA, CPU))
    with pytest.raises(SettingsError, match=r"^no onnxruntime CPU float32$"):
        open_runtime(SMALL)


def test_a_named_device_that_fails_to_load_is_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, CUDA, broken=(CUDA,))
    with pytest.raises(SettingsError, match=r"^no onnxruntime CUDA float32$"):
        open_runtime(SMALL, "cuda")
    assert machine.tried == [CUDA]


def test_a_session_that_fell_back_silently_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"^--device cuda: .*fell back to CPUExecutionProvider; its driver"):
        onnx.confirm(CUDA, ["CPUExecutionProvider"])
    assert onnx.confirm(CUDA, ["CUDAExecutionProvider", "CPUExecutionProvider"]) == CUDA


class RuntimeThatFallsBackSilently:
    """onnxruntime built for CUDA on a machine without a card: it offers the provider, and then uses the processor."""

    SessionOptions = type("SessionOptions", (), {"add_session_config_entry": lambda self, key, value: None})

    @staticmethod
    def InferenceSession(path: Path, options: object, providers: object) -> object:
        return type("Session", (), {"get_providers": lambda self: ["CPUExecutionProvider"]})()


def test_onnxruntime_that_offers_cuda_and_uses_the_processor_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    needs(onnx.providers())
    monkeypatch.setattr(onnx, "_module", lambda: RuntimeThatFallsBackSilently)
    with pytest.raises(SettingsError, match="fell back to CPUExecutionProvider"):
        onnx.OnnxRuntime(SMALL, CUDA)


GOOD_AT = ("BF16", "FP32")
GPU_BUILD = ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.mark.parametrize(
    ("device", "seen"),
    [
        ("auto", Installed(GPU_BUILD, GOOD_AT)),
        ("cpu", Installed(GPU_BUILD, None)),
        ("cuda", Installed(GPU_BUILD, None)),
        ("openvino", Installed(None, GOOD_AT)),
    ],
)
def test_only_runtimes_that_the_device_could_need_are_asked(
    monkeypatch: pytest.MonkeyPatch, device: Device, seen: Installed
) -> None:
    monkeypatch.setattr(openvino, "capabilities", lambda: GOOD_AT)
    monkeypatch.setattr(onnx, "providers", lambda: GPU_BUILD)
    assert look(device) == seen


def test_weights_that_openvino_can_not_load_go_to_onnxruntime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs(openvino.capabilities())
    needs(onnx.providers())

    def broken(model: Weights, choice: Choice) -> Runtime:
        raise SettingsError("OpenVINO can't load the weights")

    monkeypatch.setattr(openvino, "OpenVino", broken)
    assert open_runtime(brought(SMALL)).used.device in ("cpu", "cuda", "directml")


@pytest.mark.parametrize(
    ("choice", "devices", "hint"),
    [(OV16, ["CPU"], "f32"), (OV32, ["CPU"], "bf16"), (OV16, ["CPU"], "f16"), (OV32, ["GPU.0"], "f32")],
)
def test_openvino_that_uses_another_precision_or_device_is_an_error(
    choice: Choice, devices: list[str], hint: str
) -> None:
    with pytest.raises(SettingsError, match=f"^OpenVINO was asked for {choice.precision} on the CPU and chose "):
        openvino.confirm(choice, devices, hint)


@pytest.mark.parametrize(("choice", "hint"), [(OV32, "f32"), (OV16, "bf16")])
def test_openvino_that_does_as_it_was_asked_is_believed(choice: Choice, hint: str) -> None:
    assert openvino.confirm(choice, ["CPU"], hint) == choice


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (MemoryError(), NO_MEMORY),
        (RuntimeError("Exception from src/core.cpp:1:\nstd::bad_alloc\n"), NO_MEMORY),
        (ValueError("Failed to serialize proto"), NO_MEMORY),
        (
            RuntimeError("Exception from src/core.cpp:1:\nCheck 'ok' failed at src/a.cpp:2:\nno such\n layer\n"),
            "no such layer",
        ),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_whatever_a_runtime_raises_is_one_line_and_want_of_memory_has_its_remedy(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, said: str
) -> None:
    def fails(model: Weights, choice: Choice, *, batched: bool) -> Runtime:
        raise raised

    monkeypatch.setattr(onnx, "OnnxRuntime", fails)
    with pytest.raises(SettingsError) as caught:
        opening._open(SMALL, CPU)
    assert str(caught.value) == f"onnxruntime CPU float32 can't load the weights in {SMALL.path}: {said}"


@pytest.mark.parametrize("choice", [CPU, OV32])
def test_a_file_that_holds_no_network_is_named(choice: Choice, tmp_path: Path) -> None:
    needs(openvino.capabilities() if choice is OV32 else onnx.providers())
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    with pytest.raises(SettingsError, match=rf"^{choice} can't load the weights in .*x\.onnx: [^\n]+\Z"):
        open_runtime(Weights(name="x", sha256="", own=tmp_path / "x.onnx"), choice.device, choice.precision)


@pytest.mark.parametrize("choice", [CPU, OV32, OV16], ids=str)
def test_a_real_runtime_says_what_it_was_asked_for_and_gives_a_map(choice: Choice) -> None:
    runtime = real(choice)
    assert runtime.used == choice
    found = runtime.run(tensor(1))
    assert (found.shape, found.dtype) == ((1, 1, 320, 320), np.float32)
    assert 0.0 <= found.min() <= found.max() <= 1.0


@pytest.mark.parametrize("choice", [CPU, OV32, OV16], ids=str)
def test_a_map_is_its_callers_own_however_many_call_at_once(choice: Choice) -> None:
    runtime = real(choice)
    tensors = [tensor(seed) for seed in (1, 2)]
    alone = [runtime.run(one) for one in tensors]
    with ThreadPoolExecutor(4) as pool:
        for place, found in enumerate(pool.map(runtime.run, tensors * 2)):
            np.testing.assert_array_equal(found, alone[place % 2])


def test_both_runtimes_see_the_same_in_float32() -> None:
    np.testing.assert_allclose(real(OV32).run(tensor(4)), real(CPU).run(tensor(4)), atol=2e-3)


@pytest.mark.parametrize("choice", [CPU, OV32], ids=str)
def test_a_runtime_that_gives_up_fails_the_prediction(choice: Choice) -> None:
    with pytest.raises(PredictionFailed, match=r"^(onnxruntime|OpenVINO) gave up: "):
        real(choice).run(np.zeros((1, 4, 8, 8), np.float32))


class BindingsThatMustBeSettled:
    """OpenVINO's bindings, which hang where two threads use them first; they note who comes when."""

    def __init__(self) -> None:
        self.opset13 = self
        self.threads: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_, **__: self

    def infer(self, *_: object, **__: object) -> None:
        self.threads.append(threading.get_ident())

    @property
    def data(self) -> NDArray[np.float32]:
        return np.zeros((1, 1, 2, 2), np.float32)


def test_one_thread_goes_through_openvinos_bindings_before_any_other_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings = BindingsThatMustBeSettled()
    monkeypatch.setitem(sys.modules, "openvino", bindings)  # type: ignore[arg-type]  # stands for a module

    def ask(_: int) -> int:
        assert openvino._module() is bindings
        return len(bindings.threads)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(8))) == {1}


def test_the_first_pictures_of_a_process_may_come_at_once() -> None:
    needs(openvino.capabilities())
    code = (
        "import faulthandler, sys, threading\n"
        "import numpy as np\n"
        "from batch_removebg.engine.runtimes import openvino\n"
        "faulthandler.dump_traceback_later(40, exit=True)\n"
        "module, shape = openvino._module(), [1, 1, 8, 8]\n"
        "given = module.opset13.parameter(shape, np.float32)\n"
        "model = module.Model([module.opset13.relu(given)], [given], 'x')\n"
        "compiled = module.Core().compile_model(model, 'CPU', {'NUM_STREAMS': '2'})\n"
        "requests = [compiled.create_infer_request() for _ in range(4)]\n"
        "sys.setswitchinterval(1e-6)\n"
        "given = np.zeros(shape, np.float32)\n"
        "threads = [threading.Thread(target=openvino._infer, args=(one, given)) for one in requests]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    said_by_a_new_process(code)


def test_openvino_is_loaded_without_its_telemetry() -> None:
    needs(openvino.capabilities())
    code = (
        "import sys\n"
        "from batch_removebg.engine.runtimes import openvino\n"
        "assert openvino.capabilities()\n"
        "print(sorted(m for m in sys.modules if m.startswith('openvino_telemetry')), 'openvino' in sys.modules)"
    )
    assert said_by_a_new_process(code) == "[] True\n"


@pytest.mark.parametrize("name", ["u2netp", "isnet"])
def test_in_a_batch_a_network_sees_in_each_picture_what_it_sees_in_it_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(onnx.providers())
    model = brought(MODELS[name])
    given = np.random.default_rng(1).normal(size=(4, 1, 3, model.size, model.size)).astype(np.float32)
    alone = [onnx.OnnxRuntime(model, CPU).run(each) for each in given]
    monkeypatch.setattr(onnx, "at_once", lambda device, size: 4)
    runtime = onnx.OnnxRuntime(model, CPU, batched=True)
    assert runtime._batches is not None
    for _ in range(2):  # as if it were busy
        runtime._batches._running.acquire()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(runtime.run, each) for each in given]
        while len(runtime._batches._waiting) < 4:
            threading.Event().wait(0.001)
        runtime._batches._running.release(2)
        together = [each.result() for each in asked]
    np.testing.assert_array_equal(together, alone)
