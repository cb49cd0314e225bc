"""JSON as the program keeps it for itself."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from batch_removebg.ledger import codec

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES | st.lists(st.sampled_from(["\ud83d", 1 << 80]), max_size=2))
def test_a_value_reads_as_the_standard_library_would_read_it(value: object) -> None:
    assert codec.decode(codec.encode(value)) == json.loads(codec.encode(value)) == value
