"""Networks on onnxruntime: any processor, and the graphics cards that it was built for."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_removebg.engine.devices import MISSING_EXTRA, Choice
from batch_removebg.errors import DeviceAbsent, PredictionFailed, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ERRORS_ONLY = 3  # of onnxruntime's severities
_OPTIONS: dict[str, dict[str, str]] = {
    "cuda": {"use_tf32": "0"},  # TF32 has ten bits of mantissa, and is not what is called float32 here
}

_BUILD = "build_and_package_info.py"
"""Where a build of onnxruntime says which package it is, in its folder `capi`."""
_CARDS = ("cuda", "directml", "rocm", "migraphx")
"""In the names of the libraries of a build for graphics cards."""


def plain() -> bool:
    """Whether the onnxruntime here is certainly the build for processors, found out without importing it.

    The import takes 28 ms. Builds for graphics cards are packages of other names that lie in the same folder.
    """
    spec = find_spec("onnxruntime")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        capi = Path(place, "capi")
        try:
            said = (capi / _BUILD).read_text(encoding="utf-8").split("\n")
            names = [one.name.lower() for one in capi.iterdir()]
        except (OSError, UnicodeError):
            return False
        return "package_name = 'onnxruntime'" in said and not any(card in name for name in names for card in _CARDS)
    return False


def providers() -> tuple[str, ...] | None:
    """The execution providers that onnxruntime was built with; None where it is not installed."""
    module = _module()
    return None if module is None else tuple(module.get_available_providers())


class OnnxRuntime:
    """A session of onnxruntime, one run at a time."""

    def __init__(self, path: Path, choice: Choice) -> None:
        """Raises DeviceAbsent where the session falls back to another device, SettingsError where it can't be made."""
        module = _module()
        if module is None:
            raise SettingsError(MISSING_EXTRA)
        options = module.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.enable_mem_pattern = False  # on u2netp it costs 190 MB and no time is won; DirectML can't have it
        # An idle core must wait asleep: other pictures are being decoded and encoded meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = [(choice.provider, _OPTIONS.get(choice.device, {}))]
        try:
            self._session = module.InferenceSession(path, options, providers=wanted)
        except foreign_errors() as error:
            raise SettingsError(f"onnxruntime can't load the weights in {path}: {error}") from error
        self.used = confirm(choice, self._session.get_providers())
        # A run uses every core by itself: 4.1 pictures a second on two. Two sessions of one thread each do 4.5, but
        # take 650 MB instead of 370; where cores matter OpenVINO is the better way to use them.
        self._one_at_a_time = threading.Lock()
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map S×S of a picture 1×3×S×S, both float32; raises PredictionFailed where the runtime gives up."""
        try:
            with self._one_at_a_time:
                [found] = self._session.run([self._output], {self._input: tensor})
        except foreign_errors() as error:
            raise PredictionFailed(f"onnxruntime gave up: {error}") from error
        found_map: NDArray[np.float32] = found[0, 0]
        return found_map


def confirm(choice: Choice, used: list[str]) -> Choice:
    """The choice, if it is what a session uses; raises DeviceAbsent if not.

    Where a provider can't be loaded onnxruntime says so on stderr only, and goes on with the processor.
    """
    if choice.provider not in used:
        raise DeviceAbsent(
            f"--device {choice.device}: onnxruntime offers {choice.provider} but could not load it, and fell back to "
            f"{', '.join(used) or 'nothing'}; its driver or libraries are missing, or no such device is in this machine"
        )
    return choice


def _module() -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def foreign_errors() -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime, which share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError)
