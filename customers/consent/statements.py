"""Statements of newsletter consent, as files, the API, messages, staff and mail servers make them.

Of each kind of statement the newest is stored, under the identity it was made for. Unsubscriptions also hold for an
address, whoever has it. The consent of a customer is computed from these rows (``customers.consent.states``), so it
does not depend on the order in which they arrive:

* An unsubscription by one method ends with a newer ``subscribed`` by the same method, or with a newer firm or confirmed
  one.
* Until it has ended, the customer is ``unsubscribed``. Otherwise they are ``subscribed`` if any statement says so,
  else ``never``.
* ``never`` revokes earlier statements, and ends no unsubscription.
* A statement of a visitor counts for the customer they are merged into only if it names the customer's address.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from django.db import transaction

from core.db import backends, dialect, execution, temporary_tables, transactions
from core.db.sql import Sql
from core.values import email_addresses
from customers.identity import lookup, tombstones
from customers.models import AddressUnsubscription, Suppression
from customers.models.consent import ConsentMethod
from customers.models.customer import ANONYMOUS_PREFIX

from .addresses import insert_unsubscriptions, restore_erased_addresses
from .states import STATEMENTS_TABLE, State, keys_sql, update_consent, update_consent_of_addresses

API_SOURCE: Final = "API"
"""The source of statements of the API."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A state of consent, stated for an identity. ``address`` is the folded address that it names."""

    identity: int
    state: str
    method: str
    at: datetime
    address: str = ""

    @property
    def ends_address(self) -> bool:
        """Whether it ends the newsletter for the address that it names, unless a browser made it."""
        return self.state == State.UNSUBSCRIBED and self.method == ConsentMethod.FIRM and bool(self.address)


# -- What holds for an address


def unsubscribe(address: str, at: datetime, *, source: str, identities: Iterable[int] = ()) -> int:
    """End the newsletter for an address, and for identities. Return how many customers changed.

    For links in messages, staff and mail servers: only a dated statement ends it. May be repeated.
    """

    def act() -> int:
        tombstones.lock_shared()
        key = email_addresses.fold_email(address)
        restore_erased_addresses([key])
        store_statements(
            [Statement(one, State.UNSUBSCRIBED, ConsentMethod.FIRM, at, key) for one in identities]
        )
        customers = Sql(f"SELECT customer_id FROM customers_identity WHERE id IN ({keys_sql(identities)})")
        if key:
            insert_unsubscriptions(f"SELECT '{ConsentMethod.FIRM.value}', %s, {dialect.datetime_cast_sql('%s')}, %s",
                                   [key, dialect.datetime_param(at), source])  # fmt: skip
            customers += Sql(" UNION SELECT id FROM customers_customer WHERE email_folded = %s", (key,))
        return update_consent(customers, at, source=source)

    changed = transactions.retry_on_conflict(act)
    if backends.is_postgresql():  # customers created meanwhile with this address
        transaction.on_commit(partial(update_consent_of_addresses, [address], at, source=source))
    return changed


# -- Statements


def store_statements(statements: Iterable[Statement]) -> None:
    """Store statements of identities, each if it is the newest of its kind."""
    rows = [
        (one.identity, one.state, one.method, dialect.datetime_param(one.at), one.address)
        for one in statements
    ]
    if rows:
        _create_statement_table()
        temporary_tables.load_rows("consent_stated", ("identity", "state", "method", "at", "address"), rows)
        _store_staged_statements()


def store_trusted_statements(statements: Sequence[Statement], source: str) -> None:
    """Store statements that no browser made. An unsubscription also holds for the address that it names."""
    store_statements(statements)
    for one in statements:
        if not one.ends_address:
            continue
        restore_erased_addresses([one.address])
        insert_unsubscriptions(
            f"SELECT %s, %s, {dialect.datetime_cast_sql('%s')}, %s",
            [one.method, one.address, dialect.datetime_param(one.at), source],
        )


def collect_changed_addresses(staged: str, stored: str) -> None:
    """Collect the staged customers whose address or consent changes. ``stored`` is a copy of their former rows."""
    temporary_tables.create_temporary_table("consent_touched", "customer bigint, address text")
    execution.execute(
        f"""INSERT INTO consent_touched SELECT s.customer, r.email_folded
            FROM {staged} s JOIN {stored} r ON r.id = s.customer
            WHERE s.newsletter IS NOT NULL OR s.email_folded <> r.email_folded"""
    )
    if Suppression.objects.filter(digest__isnull=False).exists() or (
        AddressUnsubscription.objects.filter(digest__isnull=False).exists()
    ):
        restore_erased_addresses(
            address
            for (address,) in execution.fetch_all(
                f"SELECT email_folded FROM {staged} WHERE email_folded <> ''"
            )
        )


def store_staged_statements(staged: str, stored: str, at: datetime, source: str) -> list[int]:
    """Store the consent of staged customers that are already written. ``stored`` is a copy of their former rows.

    Return the lines that say ``subscribed`` although the customer stays unsubscribed.
    """
    method = ConsentMethod.API.value if source == API_SOURCE else ConsentMethod.FILE.value
    instant, moment = dialect.datetime_cast_sql("%s"), dialect.datetime_param(at)
    _create_statement_table()
    is_dated = "s.newsletter = 'subscribed' AND s.subscribed_at IS NOT NULL"
    stated = execution.execute(
        f"""INSERT INTO consent_stated (identity, state, method, at, address)
            SELECT i.id, s.newsletter, CASE WHEN {is_dated} THEN 'firm' ELSE '{method}' END,
                CASE WHEN {is_dated} THEN {dialect.least_sql("s.subscribed_at", instant)} ELSE {instant} END,
                COALESCE(s.email_folded, r.email_folded)
            FROM {staged} s JOIN {stored} r ON r.id = s.customer
            JOIN customers_identity i ON i.kind = CASE WHEN s.customer_id LIKE '{ANONYMOUS_PREFIX}%%'
                    THEN '{lookup.ANONYMOUS_ID}' ELSE '{lookup.CUSTOMER_ID}' END
                AND i.value = CASE WHEN s.customer_id LIKE '{ANONYMOUS_PREFIX}%%'
                    THEN substr(s.customer_id, {len(ANONYMOUS_PREFIX) + 1}) ELSE s.customer_id END
            WHERE s.newsletter IS NOT NULL""",
        [moment] * (instant.count("%s") + dialect.least_sql("s.subscribed_at", instant).count("%s")),
    )
    if stated:
        _store_staged_statements()
        insert_unsubscriptions(
            """SELECT method, address, max(at), %s FROM consent_stated
                WHERE state = 'unsubscribed' AND address <> '' GROUP BY method, address""",
            [source[:50]],
        )
        execution.execute(
            """INSERT INTO consent_touched SELECT i.customer_id, ''
               FROM consent_stated n JOIN customers_identity i ON i.id = n.identity"""
        )
    update_consent(
        Sql(
            """SELECT customer FROM consent_touched UNION
               SELECT id FROM customers_customer
               WHERE email_folded IN (SELECT address FROM consent_touched WHERE address <> '')"""
        ),
        at,
        source=source,
    )
    kept = execution.fetch_all(
        f"""SELECT s.line FROM {staged} s JOIN consent_computed v ON v.customer = s.customer
            WHERE s.newsletter = 'subscribed' AND v.state = 'unsubscribed' ORDER BY s.line"""
    ) if stated else []  # fmt: skip
    return [line for (line,) in kept]


def _create_statement_table() -> None:
    columns = f"identity bigint, state text, method text, at {dialect.datetime_type_sql()}, address text"
    temporary_tables.create_temporary_table("consent_stated", columns)


def _store_staged_statements() -> None:
    execution.execute(
        f"""INSERT INTO {STATEMENTS_TABLE} (identity_id, state, method, at, address)
            SELECT identity, state, method, at, address FROM (
                SELECT n.*, row_number() OVER (
                    PARTITION BY identity, state, method ORDER BY at DESC, address DESC) AS nth
                FROM consent_stated n) AS newest
            WHERE nth = 1
            ON CONFLICT (identity_id, state, method) DO UPDATE SET at = excluded.at, address = excluded.address
                WHERE excluded.at > {STATEMENTS_TABLE}.at
                    OR (excluded.at = {STATEMENTS_TABLE}.at AND excluded.address > {STATEMENTS_TABLE}.address)"""
    )
