"""What ingestion needs of identity resolution.

``CustomersConfig.ready`` registers ``tracking.record_identities``, because ingestion must not import tracking.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from .identity_locks import (
    lock_identities,
    lock_identities_to_trust,
    lock_named_customer_ids,
    untrusted_among,
)


@dataclass(frozen=True)
class Resolver:
    """The functions that resolve identities.

    ``trust`` gets customer ids that a trusted sender names, and only browsers had named before. ``merge_visitors`` gets
    the name of a staging table of rows with both ids.
    """

    trust: Callable[[Collection[str], datetime], None]
    merge_visitors: Callable[[str, datetime], None]


_resolver: list[Resolver] = []


def register_resolver(resolver: Resolver) -> None:
    _resolver[:] = [resolver]


def trust_customer_ids(customer_ids: Collection[str], at: datetime) -> None:
    """End the unsigned links of customer ids that records name. From now on the ids belong to the shop."""
    if not customer_ids:
        return
    lock_identities_to_trust(customer_ids)
    lock_named_customer_ids()
    if named := untrusted_among(customer_ids):
        lock_identities()
        _resolver[0].trust(named, at)


def merge_staged_visitors(staged: str, at: datetime) -> None:
    """Merge visitors into customers where staged rows name both ids."""
    _resolver[0].merge_visitors(staged, at)
