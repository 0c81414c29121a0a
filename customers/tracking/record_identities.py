"""Identities in records of files and the API, resolved together with those of messages.

A record that names a customer id ends the links that browsers made to it without a signature. An event with both ids
merges the visitor into the customer.
"""

from collections.abc import Collection
from datetime import datetime

from customers.identity import assertions, identity_locks, resolution, resolver
from customers.identity.assertions import Assertion
from customers.identity.resolution import Resolution
from customers.ingestion import drafts

from . import consent_statements, order_messages, profiles


def confirm_customer_ids(customer_ids: Collection[str], at: datetime) -> None:
    """End the unsigned links of customer ids that a trusted record names."""
    _move_records(resolution.resolve((), (), at, named=customer_ids), at)


def link_event_visitors(staged: str, at: datetime) -> None:
    """Merge the visitors of staged events into the customers that the same events name."""
    asserted: list[Assertion] = assertions.assertions_from_staged(staged)
    if asserted:
        identity_locks.lock_identities()
        _move_records(resolution.resolve((), asserted, at), at)


def _move_records(resolved: Resolution, at: datetime) -> None:
    if resolved.moved:
        drafts.lock_exclusive()
        profiles.apply_trait_updates((), resolved.moved, at)
        consent_statements.record_consent((), (), resolved.moved, at)
        order_messages.record_order_messages((), resolved.moved, at)


RESOLVER = resolver.Resolver(confirm_customer_ids, link_event_visitors)
