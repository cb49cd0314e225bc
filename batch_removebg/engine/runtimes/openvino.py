"""Networks on OpenVINO's CPU plugin: a picture a core, and in bf16 where the processor computes in it."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from batch_removebg.engine.devices import MISSING_EXTRA, Choice
from batch_removebg.errors import DeviceAbsent, PredictionFailed, SettingsError
from batch_removebg.resources import cores, memory

from .blob_cache import Kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TELEMETRY = "openvino_telemetry"
_loading = Lock()
_settled: list[Any] = []
"""The module, once its bindings are safe to be used by several threads."""
_STREAM = 1 << 30
"""Bytes of the machine's memory for each stream; one takes 75 MB on u2netp in bf16 and 130 MB in float32."""
_HINTS = {"float32": "f32", "bf16": "bf16"}
_NAMES = {"float32": "float32", "bfloat16": "bf16"}
_FORM = 1
"""Of what `_compile` makes of the weights: to be raised where that changes, so that nothing kept before is used."""

log = logging.getLogger(__name__)


def capabilities() -> tuple[str, ...] | None:
    """What OpenVINO says this processor is good at, such as FP32 and BF16; None where it is not installed."""
    module = _module()
    if module is None:
        return None
    try:
        return tuple(module.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    except RuntimeError:  # a build without the CPU plugin
        return None


class OpenVino:
    """A compiled network; each stream of it runs one picture on one core."""

    def __init__(self, path: Path, choice: Choice, *, streams: int | None = None) -> None:
        """`streams`: pictures at once; by default one for each core that there is memory for.

        Raises DeviceAbsent where another precision or device is used than was asked for, SettingsError where the
        weights can't be loaded.
        """
        module = _module()
        if module is None:
            raise SettingsError(MISSING_EXTRA)
        # On two cores two streams of one thread do 9.2 pictures a second in bf16 and 4.7 in float32, one stream of two
        # threads 7.9 and 4.1, batches of two or four no more than either (u2netp, medians).
        streams = streams or max(1, min(cores(), memory() // _STREAM))
        wanted = {
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(cores()),
            "INFERENCE_PRECISION_HINT": _HINTS[choice.precision],
        }
        try:
            core = module.Core()
            kept = Kept(path, _facts(module, core, wanted))
            imported = _imported_network(core, kept, wanted)
            compiled = imported or _compile(module, core, path, wanted)
            devices, hint = (compiled.get_property(name) for name in ("EXECUTION_DEVICES", "INFERENCE_PRECISION_HINT"))
            requests = [compiled.create_infer_request() for _ in range(streams)]
        except RuntimeError as error:
            raise SettingsError(f"OpenVINO can't load the weights in {path}: {error}") from error
        self.used = confirm(choice, list(devices), hint.to_dtype().name if hint != module.Type.bf16 else "bfloat16")
        if imported is None:
            kept.write(lambda: bytes(compiled.export_model().getvalue()))
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for request in requests:
            self._idle.put(request)

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map S×S of a picture 1×3×S×S, both float32; raises PredictionFailed where the runtime gives up."""
        with self._request() as request:
            try:
                return _infer(request, tensor)
            except RuntimeError as error:
                raise PredictionFailed(f"OpenVINO gave up: {error}") from error

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._idle.get()
        try:
            yield request
        finally:
            self._idle.put(request)


def confirm(choice: Choice, devices: list[str], computed_in: str) -> Choice:
    """The choice, if it is what the compiled network uses; raises DeviceAbsent if not."""
    used = _NAMES.get(computed_in, computed_in)
    if devices != ["CPU"] or used != choice.precision:
        raise DeviceAbsent(
            f"OpenVINO was asked for {choice.precision} on the CPU and chose {used} on {', '.join(devices)}; "
            "choose --device auto or cpu, or another --precision"
        )
    return choice


def _facts(module: Any, core: Any, wanted: Mapping[str, str]) -> dict[str, object]:
    """What a compiled network depends on beside its weights."""
    return {
        "form": _FORM,
        "openvino": str(module.get_version()),  # with its build
        "processor": str(core.get_property("CPU", "FULL_DEVICE_NAME")),
        "capabilities": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "machine": f"{sys.platform} {platform.machine()}",
        "wanted": dict(wanted),
    }


def _imported_network(core: Any, kept: Kept, wanted: Mapping[str, str]) -> Any:
    """The network as an earlier run has compiled it, or None."""
    blob = kept.read()
    if blob is None:
        return None
    try:
        return core.import_model(BytesIO(blob), "CPU", wanted)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the network can be compiled
        log.info("the compiled network can't be taken in, and is made anew: %s", error)
        return None


def _compile(module: Any, core: Any, path: Path, wanted: Mapping[str, str]) -> Any:
    return core.compile_model(_first_output(module, core.read_model(str(path))), "CPU", wanted)


def _first_output(module: Any, model: Any) -> Any:
    """The network without its side outputs, which nobody reads."""
    return module.Model([model.outputs[0]], model.get_parameters(), model.get_friendly_name())


def _infer(request: Any, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    request.infer({0: tensor}, share_inputs=True)
    # A copy: the tensor is the request's, which the next picture overwrites.
    found: NDArray[np.float32] = request.get_output_tensor(0).data[0, 0].copy()
    return found


def _module() -> Any:
    """OpenVINO, without its telemetry: to import it reports to Google Analytics, and nobody is asked first."""
    with _loading:
        # Whoever imported it before us has it as they wanted it.
        module = sys.modules.get("openvino") or _imported()
        if module is not None and module not in _settled:
            _settle(module)
            _settled.append(module)
    return module


def _imported() -> Any:
    with _without(_TELEMETRY):
        try:
            import openvino
        except ImportError:
            return None
    return openvino


def _settle(module: Any) -> None:
    """Send a picture of nothing through the bindings while one thread alone knows them; some milliseconds.

    They make some of their constants at first use, behind a guard of C++'s under which they let go of Python's lock. Of
    two threads that come first at once, one then waits for the lock and the other, which has it, for the guard: for
    ever. Without this 4 of 20 processes hung whose first pictures came from four threads at once (OpenVINO 2026.4.1).
    """
    import numpy as np

    given = module.opset13.parameter([1, 1, 2, 2], np.float32)
    model = module.Model([module.opset13.relu(given)], [given], "nothing")
    _infer(module.Core().compile_model(model, "CPU").create_infer_request(), np.zeros((1, 1, 2, 2), np.float32))


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Make the import of a module fail for the length of the block; OpenVINO is ready for that."""
    known = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        del sys.modules[name]
        if known is not None:
            sys.modules[name] = known
