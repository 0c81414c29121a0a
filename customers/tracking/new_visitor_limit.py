"""The limit of new visitors per request with the key of a browser, which anybody can read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from customers.identity.known_ids import find_known_ids
from customers.identity.lookup import ANONYMOUS_ID, CUSTOMER_ID

from .interpretation import Interpretation

MAX_NEW_VISITORS: Final = 100
TOO_MANY_VISITORS: Final = (
    f"anonymousId: the request has more than {MAX_NEW_VISITORS} new visitors;"
    " a browser should send only its own messages"
)


def messages_over_limit(requests: Sequence[tuple[int, Interpretation]]) -> Iterator[int]:
    """Return the indexes of browser messages that would create a visitor beyond the limit of their request.

    Each message comes with the id of its request. A message creates no visitor if its ids are known, or if an earlier
    message of the request has them.
    """
    from_browsers = [(index, *one) for index, one in enumerate(requests) if not one[1].by_server]
    ids = {
        index: {
            one
            for one in (result.identity, *(one for pair in result.identity_links for one in pair))
            if one.kind in (ANONYMOUS_ID, CUSTOMER_ID)
        }
        for index, _, result in from_browsers
    }
    known = set(find_known_ids({one for of_message in ids.values() for one in of_message}))
    created: Counter[int] = Counter()
    for index, request, _ in from_browsers:
        new = ids[index] - known
        if new and created[request] >= MAX_NEW_VISITORS:
            yield index
        elif new:
            created[request] += 1
            known |= new
