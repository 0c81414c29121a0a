"""Columns that are read from the properties of an event."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from customers.rows.cells import InvalidRow
from customers.rows.event_properties import read_decoded_properties, read_properties

NAMES = st.sampled_from(["price", "quantity", "sku", "product_id", "name", "brand", "e\u0301", "other"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(["12.5", "-3", "0.00005", 10**310, 1e-301, 1e-300, 9.9e300, 1e301, "A\u030a", "\x00", "e\u0301"])
)  # fmt: skip
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, SCALARS, max_size=3)


def _columns(read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except InvalidRow as error:
        return str(error)


@given(st.dictionaries(NAMES, VALUES | st.lists(st.dictionaries(NAMES, SCALARS, max_size=3), max_size=3)))
@example({"price": 19.99, "quantity": 3})
@example({"price": 0.00005, "quantity": "1"})
@example({"price": True, "quantity": False, "sku": 10**20, "name": 2.5})
def test_decoded_properties_are_read_like_their_text(properties: dict[str, Any]) -> None:
    text = json.dumps(properties, ensure_ascii=False)

    assert _columns(read_decoded_properties, properties, text) == _columns(read_properties, text)
