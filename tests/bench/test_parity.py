"""Our masks are rembg's, whatever the network: its preparation, sigmoid and min–max, by its own code."""

from __future__ import annotations

import pytest

from tests.bench import parity


@pytest.mark.crash
@pytest.mark.skipif(not parity.PEER.exists(), reason="rembg isn't here: make .venv-rembg/.python")
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_masks_of_every_network_agree_with_rembgs_to_a_level(device: parity.Device) -> None:
    for one in parity.compare(device=device):
        assert one.spread > 200, one
        assert one.largest <= 1, one  # it cuts decimals off, where we round
