"""Networks on OpenVINO's CPU plugin: a picture a core, and in bf16 where the processor computes in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

from batch_removebg.cpu import cores, memory
from batch_removebg.errors import PredictionFailed, SettingsError
from batch_removebg.local.devices import MISSING_EXTRA, Choice, DeviceAbsent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TELEMETRY = "openvino_telemetry"
_importing = Lock()
_STREAM = 1 << 30
"""Bytes of the machine's memory for each stream; one takes 75 MB on u2netp in bf16 and 130 MB in float32."""
_HINTS = {"float32": "f32", "bf16": "bf16"}
_NAMES = {"float32": "float32", "bfloat16": "bf16"}


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
            compiled = core.compile_model(_first_output(module, core.read_model(str(path))), "CPU", wanted)
            devices, hint = (compiled.get_property(name) for name in ("EXECUTION_DEVICES", "INFERENCE_PRECISION_HINT"))
            slots = [_Slot(module, compiled) for _ in range(streams)]
        except RuntimeError as error:
            raise SettingsError(f"OpenVINO can't load the weights in {path}: {error}") from error
        self.used = confirm(choice, list(devices), hint.to_dtype().name if hint != module.Type.bf16 else "bfloat16")
        self._idle: SimpleQueue[_Slot] = SimpleQueue()
        for slot in slots:
            self._idle.put(slot)

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map S×S of a picture 1×3×S×S, both float32; raises PredictionFailed where the runtime gives up."""
        slot = self._idle.get()
        try:
            return slot.run(tensor)
        except RuntimeError as error:
            raise PredictionFailed(f"OpenVINO gave up: {error}") from error
        finally:
            self._idle.put(slot)


class _Slot:
    """A request with arrays of its own for what goes in and comes out.

    They are bound once: to ask a request for its tensors, as its `infer` does, can wait for another one's run with the
    interpreter locked, and both stand still for ever (seen with 2026.4, two streams on two cores).
    """

    def __init__(self, module: Any, compiled: Any) -> None:
        import numpy as np

        self._input = np.zeros(tuple(compiled.input(0).shape), np.float32)
        self._output = np.zeros(tuple(compiled.output(0).shape), np.float32)
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(0, module.Tensor(self._input, shared_memory=True))
        self._request.set_output_tensor(0, module.Tensor(self._output, shared_memory=True))

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        self._input[:] = tensor
        self._request.start_async()
        self._request.wait()  # lets go of the interpreter
        found: NDArray[np.float32] = self._output[0, 0].copy()
        return found


def confirm(choice: Choice, devices: list[str], computed_in: str) -> Choice:
    """The choice, if it is what the compiled network uses; raises DeviceAbsent if not."""
    used = _NAMES.get(computed_in, computed_in)
    if devices != ["CPU"] or used != choice.precision:
        raise DeviceAbsent(
            f"OpenVINO was asked for {choice.precision} on the CPU and chose {used} on {', '.join(devices)}; "
            "choose --device auto or cpu, or another --precision"
        )
    return choice


def _first_output(module: Any, model: Any) -> Any:
    """The network without its side outputs, which nobody reads."""
    return module.Model([model.outputs[0]], model.get_parameters(), model.get_friendly_name())


def _module() -> Any:
    """OpenVINO, without its telemetry: to import it reports to Google Analytics, and nobody is asked first."""
    if "openvino" in sys.modules:  # by whoever imported it before us, and as they wanted it
        return sys.modules["openvino"]
    with _importing, _without(_TELEMETRY):
        try:
            import openvino
        except ImportError:
            return None
    return openvino


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
