"""Settings that the tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batch_removebg.run.settings import Settings

OUT = Path("out")
KEY = "r8_SecretOfTheShop1234567890"
GATEWAY: dict[str, Any] = {"provider": "gateway", "base_url": "https://gateway.example/replicate/v1"}


def made(**given: Any) -> Settings:
    return Settings(out=OUT, **given)
