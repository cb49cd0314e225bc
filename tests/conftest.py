"""What all tests share: one event loop backend, and an environment without keys."""

from __future__ import annotations

import gc
import os

import pytest


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage: looking through them again and again would take a tenth of the time."""
    gc.freeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _no_keys_from_outside() -> None:
    """No test may find, or send, a key of the machine it runs on, nor ask its proxy."""
    for name in list(os.environ):
        if name.upper().endswith(("_API_TOKEN", "_API_KEY", "_PROXY")):
            del os.environ[name]
