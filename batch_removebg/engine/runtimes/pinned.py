"""Memory that stays where it is, so that an NVIDIA card reads it by itself, at the full speed of its bus."""

from __future__ import annotations

import ctypes
import math
import sys

import numpy as np
from numpy.typing import NDArray

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_PORTABLE = 1  # for every context of this process


def pinned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros for as long as this process lives; in ordinary memory, which is copied once more, where there is no driver.

    Source: CUDA's driver API, cuMemHostAlloc. onnxruntime 1.31 has such memory, but doesn't give it to Python.
    """
    size = math.prod(shape) * 4
    try:
        driver, device, context, at = ctypes.CDLL(_DRIVER), ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(device), 0)
            or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
            or driver.cuCtxPushCurrent_v2(context)
            or driver.cuMemHostAlloc(ctypes.byref(at), ctypes.c_size_t(size), _PORTABLE)
            or driver.cuCtxPopCurrent_v2(ctypes.byref(context))
        )
    except (OSError, AttributeError):
        failed = True
    if failed or at.value is None:
        return np.zeros(shape, np.float32)
    found = np.ctypeslib.as_array((ctypes.c_float * (size // 4)).from_address(at.value)).reshape(shape)
    found[:] = 0
    return found
