"""Networks on OpenVINO's CPU plugin: one picture on each core, in bf16 where the processor computes in it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from batch_removebg.engine import resize
from batch_removebg.engine.devices import MISSING_EXTRA, Choice, said
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import PredictionFailed, SettingsError
from batch_removebg.resources import cores, memory

from .blob_cache import BlobCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TELEMETRY = "openvino_telemetry"
_loading = Lock()
_STREAM = 1 << 30  # bytes of the machine's memory per stream; on u2netp one takes 75 MB in bf16 and 130 MB in float32
_HINTS = {"float32": "f32", "bf16": "bf16"}
_NAMES = {"f32": "float32", "bf16": "bf16"}
_FORM = 1  # version of what `_compile` makes of the weights: raise it with every change, so that no older blob is used


def capabilities() -> tuple[str, ...] | None:
    """OpenVINO's optimization capabilities on this processor, such as FP32 and BF16; None if it isn't installed."""
    try:
        module = _module()
        return None if module is None else tuple(module.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    except RuntimeError:  # a build without the CPU plugin
        return None


class OpenVino:
    """A network compiled by OpenVINO; each of its streams runs one picture on one core, and further threads wait."""

    def __init__(self, model: Weights, choice: Choice) -> None:
        """Raises SettingsError if another precision or device is used, and what OpenVINO raises."""
        # The plugin gives the thread that compiles another stack for signals, and takes its memory back later: in the
        # main thread, the next Ctrl-C would crash the process.
        with ThreadPoolExecutor(1) as apart:
            apart.submit(self._open, model, choice).result()

    def _open(self, model: Weights, choice: Choice) -> None:
        import numpy as np

        module = _module()
        if module is None:
            raise SettingsError(MISSING_EXTRA)
        # One stream for each core, if there is memory for it. On two cores two streams of one thread do 9.2 pictures a
        # second in bf16 and 4.7 in float32, one stream of two threads 7.9 and 4.1, and batches of two or four no more
        # (u2netp, medians).
        streams = max(1, min(cores(), memory() // _STREAM))
        options = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(cores()),
            "INFERENCE_PRECISION_HINT": _HINTS[choice.precision],
        }
        core = module.Core()
        self._blobs = BlobCache(model, _facts(module, core, options))
        cached = self._blobs.read(
            lambda blob: core.import_model(module.Tensor(np.frombuffer(blob, np.uint8), True), "CPU", options)
        )
        compiled = cached or _compile(module, core, model, options)
        devices, hint = (compiled.get_property(name) for name in ("EXECUTION_DEVICES", "INFERENCE_PRECISION_HINT"))
        sides = compiled.input(0).partial_shape
        free = sides.rank.is_dynamic
        self.shape = [] if free else [side.get_length() if side.is_static else None for side in sides]
        requests = [compiled.create_infer_request() for _ in range(streams)]
        self.used = confirm(choice, list(devices), hint.get_type_name())
        if cached is None:
            self._blobs.write(lambda: bytes(compiled.export_model().getvalue()))
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for request in requests:
            self._idle.put(request)

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output for its input, both float32; raises PredictionFailed if the runtime fails."""
        request = self._idle.get()
        try:
            return _infer(request, tensor)
        except RuntimeError as error:
            raise PredictionFailed(f"OpenVINO gave up: {said(error)}") from error
        finally:
            self._idle.put(request)


def confirm(choice: Choice, devices: list[str], hint: str) -> Choice:
    """The choice, if the compiled network uses it; raises SettingsError if not."""
    used = _NAMES.get(hint, hint)
    if devices != ["CPU"] or used != choice.precision:
        raise SettingsError(
            f"OpenVINO was asked for {choice.precision} on the CPU and chose {used} on {', '.join(devices)}; "
            "choose --device auto or cpu, or another --precision"
        )
    return choice


def _facts(module: Any, core: Any, options: Mapping[str, str]) -> dict[str, object]:
    """What a compiled network depends on beside its weights."""
    return {
        "form": _FORM,
        "openvino": str(module.get_version()),  # includes the build
        "processor": str(core.get_property("CPU", "FULL_DEVICE_NAME")),
        "capabilities": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "machine": f"{sys.platform} {platform.machine()}",
        "wanted": dict(options),
    }


def _compile(module: Any, core: Any, model: Weights, options: Mapping[str, str]) -> Any:
    if model.exported:
        network = core.read_model(resize.for_size(model.path.read_bytes(), model.size))
    else:
        network = core.read_model(str(model.path))
    # Nobody reads the other outputs.
    wanted = network.output(model.output_of([output.any_name for output in network.outputs]))
    main = module.Model([wanted], network.get_parameters(), network.get_friendly_name())
    return core.compile_model(main, "CPU", options)


def _infer(request: Any, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    request.infer({0: tensor}, share_inputs=True)
    found: NDArray[np.float32] = request.get_output_tensor(0).data.copy()  # the next picture overwrites it
    return found


def _module() -> Any:
    with _loading:
        # One that was imported before us stays as it is.
        module = sys.modules.get("openvino") or _imported()
        if module is not None:
            _settle(module)
    return module


def _imported() -> Any:
    """OpenVINO without its telemetry: its import reports to Google Analytics, without asking."""
    telemetry = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # makes the import fail, which OpenVINO allows for
    try:
        import openvino
    except ImportError:
        return None
    finally:
        del sys.modules[_TELEMETRY]
        if telemetry is not None:
            sys.modules[_TELEMETRY] = telemetry
    return openvino


@cache
def _settle(module: Any) -> None:
    """Run a tiny network through the bindings, once, while only one thread can use them; takes some milliseconds."""
    # The bindings create constants at first use, guarded by a C++ lock under which they release Python's lock. If two
    # threads are first together, one waits for Python's lock and the other, which holds it, for the guard: a deadlock.
    # Without this, 4 of 20 processes hung whose first pictures came from four threads at once (OpenVINO 2026.4.1).
    import numpy as np

    parameter = module.opset13.parameter([1, 1, 2, 2], np.float32)
    model = module.Model([module.opset13.relu(parameter)], [parameter], "nothing")
    _infer(module.Core().compile_model(model, "CPU").create_infer_request(), np.zeros((1, 1, 2, 2), np.float32))
