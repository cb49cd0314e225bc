"""What all tests share: one event loop backend, and an environment without keys."""

from __future__ import annotations

import gc
import os

import pytest


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage, and need not be looked through again and again."""
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
    os.environ["XDG_CONFIG_HOME"] = os.devnull  # no configuration of whoever runs the tests
