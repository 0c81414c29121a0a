"""What files and the API say of ids, settled together with what messages say.

A record that names a customer id makes it the shop's: links that browsers made without a signature end. An event with
both ids joins the browser to the customer.
"""

from collections.abc import Collection
from datetime import datetime

from customers import claims, drafts, identity
from customers.claims import Said, United

from . import orders, profiles, statements


def trust(customer_ids: Collection[str], now: datetime) -> None:
    """Let customer ids belong to the shop that only browsers have named until now."""
    _follow(claims.unite((), (), now, named=customer_ids), now)


def join(staged: str, now: datetime) -> None:
    """Let the browsers of staged events be those of the customers whom the events name beside them."""
    said: list[Said] = claims.of_staged(staged)
    if said:
        identity.take_turn()
        _follow(claims.unite((), said, now), now)


def _follow(united: United, now: datetime) -> None:
    if united.moved:
        drafts.own()
        profiles.tell((), united.moved, now)
        statements.keep((), (), united.moved, now)
        orders.note((), united.moved, now)


RESOLVER = identity.Resolver(trust, join)
