"""How many new visitors one request of a browser key makes: everybody can send with it, and each is a row for ever."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from customers.identity.known_ids import find_known_ids
from customers.identity.lookup import ANONYMOUS_ID, CUSTOMER_ID

from .interpretation import Interpretation

MAX_NEW_VISITORS: Final = 100
TOO_MANY_VISITORS: Final = (
    f"anonymousId: the request brings more than {MAX_NEW_VISITORS} new visitors;"
    " a browser sends what happened in it alone"
)


def messages_over_limit(requests: Sequence[tuple[int, Interpretation]]) -> Iterator[int]:
    """Return the places of the messages of browsers whose request has brought enough new visitors before them.

    Each message comes with the number of its request. A message whose ids are known, or were brought by an earlier one
    of the request, brings nobody.
    """
    of_browsers = [(place, *one) for place, one in enumerate(requests) if not one[1].by_server]
    ids = {
        place: {
            one
            for one in (meant.whose, *(one for pair in meant.claims for one in pair))
            if one.kind in (ANONYMOUS_ID, CUSTOMER_ID)
        }
        for place, _, meant in of_browsers
    }
    met = set(find_known_ids({one for of_message in ids.values() for one in of_message}))
    brought: Counter[int] = Counter()
    for place, request, _ in of_browsers:
        new = ids[place] - met
        if new and brought[request] >= MAX_NEW_VISITORS:
            yield place
        elif new:
            brought[request] += 1
            met |= new
