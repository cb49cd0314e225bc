"""Networks on onnxruntime: any processor, and the graphics cards that it was built for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from batch_removebg.engine import resize
from batch_removebg.engine.devices import MISSING_EXTRA, PROVIDERS, Choice, at_once, said
from batch_removebg.engine.weights import Weights
from batch_removebg.errors import PredictionFailed, SettingsError

from .batches import Batches
from .pinned import pinned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ERRORS_ONLY = 3  # onnxruntime's number for that severity


def providers() -> tuple[str, ...] | None:
    """The execution providers that onnxruntime was built with; None if it isn't installed."""
    module = _module()
    return None if module is None else tuple(module.get_available_providers())


class OnnxRuntime:
    """A network in a session of onnxruntime, for one picture at a time or one batch; further threads wait."""

    def __init__(self, model: Weights, choice: Choice, *, batched: bool = False) -> None:
        """`batched`: whether a card gets several at a time.

        Raises SettingsError if the session falls back to another device, and what onnxruntime raises.
        """
        module = _module()
        if module is None:
            raise SettingsError(MISSING_EXTRA)
        options = module.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.enable_mem_pattern = False  # on u2netp it costs 190 MB and saves no time; DirectML rejects it
        # Idle threads sleep instead of spinning: other pictures are decoded and encoded meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # TF32 has ten bits of mantissa: not the float32 that is reported.
        provider = (PROVIDERS[choice.device], {"use_tf32": "0"} if choice.device == "cuda" else {})
        source: Any = model.path
        if model.exported:
            source = resize.for_size(source.read_bytes(), model.size)
        if (most := at_once(choice.device, model.size) if batched else 1) > 1:
            source = resize.for_batches(source if model.exported else source.read_bytes())
        self._session = module.InferenceSession(source, options, providers=[provider])
        self.used = confirm(choice, self._session.get_providers())
        # One run uses every core: 4.1 pictures a second on two. Two sessions of one thread each do 4.5, but take 650 MB
        # instead of 370; OpenVINO is the better way to gain that. A card has use for several pictures at a time.
        places = [pinned((most, *model.shape[1:])) for _ in range(2)] if most > 1 else []
        self._batches = Batches(self._ran, places) if places else None
        self._turn = threading.Lock()
        first = self._session.get_inputs()[0]
        self._input, self.shape = first.name, list(first.shape)
        self._output = model.output_of([output.name for output in self._session.get_outputs()])

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output for its input, both float32; raises PredictionFailed if the runtime fails."""
        if self._batches is not None:
            return self._batches(tensor)
        with self._turn:
            return self._ran(tensor)

    def _ran(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            [found] = self._session.run([self._output], {self._input: tensor})
        except Exception as error:  # its own have no base class
            raise PredictionFailed(f"onnxruntime gave up: {said(error)}") from error
        output: NDArray[np.float32] = found
        return output


def confirm(choice: Choice, used: list[str]) -> Choice:
    """The choice, if the session uses it; raises SettingsError if not."""
    # If a provider can't be loaded, onnxruntime only prints that to stderr and continues on the processor.
    provider = PROVIDERS[choice.device]
    if provider not in used:
        raise SettingsError(
            f"--device {choice.device}: onnxruntime offers {provider} but could not load it, and fell back to "
            f"{', '.join(used) or 'nothing'}; its driver or libraries are missing, or no such device is in this machine"
        )
    return choice


def _module() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it may report to Microsoft as it is imported
    try:
        import onnxruntime
    except ImportError:
        return None
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    onnxruntime.disable_telemetry_events()
    return onnxruntime
