"""The cases, by number: one module a point of what must hold."""

from __future__ import annotations

from tests.bench.cases import at_limit, below, concurrency, cutouts, memory, overhead, requests, scale, startup, uploads
from tests.bench.figures import Case

CASES: dict[str, Case] = {
    module.CASE.number: module.CASE
    for module in (at_limit, below, requests, concurrency, overhead, scale, uploads, startup, cutouts, memory)
}
