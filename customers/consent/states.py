"""The consent of each customer, computed from the statements.

Writes ``ConsentChange``, and the columns ``newsletter`` and ``pending_at`` of customers. When an address is confirmed,
``customers.tracking.double_opt_in`` adds a ``ConsentChange`` with the proof.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from core.db import dialect, execution, temporary_tables, transactions
from core.db.sql import Query, Sql, compose
from core.values import email_addresses
from customers.facts import queue
from customers.identity import lookup
from customers.models import AddressUnsubscription, ConsentStatement, Customer
from customers.models.consent import ConsentMethod
from customers.models.customer import ANONYMOUS_PREFIX

CONFIRMATION_PERIOD: Final = timedelta(days=30)

State = ConsentStatement.State
STATEMENTS_TABLE: Final = ConsentStatement._meta.db_table
UNSUBSCRIPTIONS_TABLE: Final = AddressUnsubscription._meta.db_table
# Statements by these methods end unsubscriptions by the same method; firm and confirmed ones end all.
_ENDED_BY_SAME_METHOD: Final = (
    ConsentMethod.FIRM.value,
    ConsentMethod.FILE.value,
    ConsentMethod.API.value,
    ConsentMethod.BROWSER.value,
)
_ENDS_ALL: Final = (ConsentMethod.FIRM.value, ConsentMethod.CONFIRMED.value)


# -- Questions


def pending_q(at: datetime) -> Q:
    """Return a condition for customers who wait for the confirmation of their address."""
    return Q(pending_at__gt=at - CONFIRMATION_PERIOD, pending_at__lte=at)


# -- What follows for each customer


def update_consent_of_addresses(addresses: Iterable[str], at: datetime, *, source: str = "") -> int:
    """Update the consent of customers with these addresses. Return how many changed."""
    keys = [email_addresses.fold_email(one) for one in addresses]
    customers = Customer.objects.filter(email_folded__in=keys).order_by().values("pk")
    return transactions.retry_on_conflict(lambda: update_consent(customers, at, source=source)) if keys else 0


def update_consent_of_customers(
    customers: Iterable[int], at: datetime, *, source: str, history_written: int | None = None
) -> int:
    """Update the consent of customers, by primary key. Return how many changed."""
    return update_consent(Sql(keys_sql(customers)), at, source=source, history_written=history_written)


def update_consent_after_merge(merged: str) -> None:
    """Update the consent of customers that visitors were merged into. ``merged`` is a table of visitor and customer."""
    [(at,)] = execution.fetch_all("SELECT CURRENT_TIMESTAMP")
    update_consent(
        Sql(f"SELECT visitor FROM {merged} UNION SELECT customer FROM {merged}"),
        dialect.datetime_from_row(at),
        source="merge",
    )


def update_consent(
    customers: Query,
    at: datetime,
    *,
    source: str,
    history_written: int | None = None,
) -> int:
    """Update the consent of the customers of a query, and of all who share their addresses. Return how many changed.

    Each change is queued for the next refresh and gets an entry in the history of consent, except for customer
    ``history_written``, whose entry exists already.
    """
    _select_customers(customers)
    _collect_statements()
    _compute_states()
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        "consent_changed", f"customer bigint, state text, pending {moment}, made_at {moment}, before text"
    )
    changed = execution.execute(
        """INSERT INTO consent_changed SELECT v.customer, v.state, v.pending, v.made_at, c.newsletter
           FROM consent_computed v JOIN consent_customers c ON c.customer = v.customer
           WHERE v.state <> c.newsletter OR v.pending <> c.pending_at
               OR (v.pending IS NULL) <> (c.pending_at IS NULL)"""
    )
    if changed:
        execution.execute(
            f"""INSERT INTO customers_consentchange (customer_id, state, at, source, address)
                SELECT customer, state, COALESCE(made_at, {dialect.datetime_cast_sql("%s")}), %s, ''
                FROM consent_changed WHERE state <> before AND customer <> %s ORDER BY customer""",
            [dialect.datetime_param(at), source[:50], history_written or 0],
        )
        _write_changed()
        queue.queue_for_evaluation(Sql("SELECT customer FROM consent_changed"))
    return changed


def _write_changed() -> None:
    # One statement for each state, and for each customer who is pending.
    states = execution.fetch_all(
        """SELECT DISTINCT state, pending, CASE WHEN pending IS NOT NULL THEN customer END
           FROM consent_changed"""
    )
    for state in sorted({state for state, pending, _ in states if pending is None}):
        execution.execute(
            """UPDATE customers_customer SET newsletter = %s, pending_at = NULL WHERE id IN (
                   SELECT customer FROM consent_changed WHERE state = %s AND pending IS NULL)""",
            [state, state],
        )
    execution.execute_many(
        "UPDATE customers_customer SET newsletter = %s, pending_at = %s WHERE id = %s",
        [row for row in states if row[1] is not None],
    )


def _select_customers(customers: Query) -> None:
    temporary_tables.create_temporary_table(
        "consent_customers",
        "customer bigint PRIMARY KEY, address text, is_visitor integer, newsletter text,"
        f" pending_at {dialect.datetime_type_sql()}",
    )
    is_visitor = f"CASE WHEN c.customer_id LIKE '{ANONYMOUS_PREFIX}%%' THEN 1 ELSE 0 END"
    columns = f"c.id, c.email_folded, {is_visitor}, c.newsletter, c.pending_at"
    execution.execute(
        compose(
            f"""INSERT INTO consent_customers SELECT {columns} FROM customers_customer c
                WHERE c.id IN ({{customers}}) AND c.merged_into_id IS NULL""",
            customers=customers,
        )
    )
    execution.execute(
        f"""INSERT INTO consent_customers SELECT {columns} FROM customers_customer c
            WHERE c.email_folded IN (SELECT address FROM consent_customers WHERE address <> '')
                AND c.merged_into_id IS NULL ON CONFLICT (customer) DO NOTHING""",
        [],
    )


def _collect_statements() -> None:
    """Collect the statements of each customer, and those of their address, whoever has it."""
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        "consent_collected", f"customer bigint, state text, method text, at {moment}"
    )
    execution.execute(
        f"""INSERT INTO consent_collected
            SELECT a.customer, s.state, s.method, s.at
            FROM consent_customers a JOIN customers_identity i ON i.customer_id = a.customer
            JOIN {STATEMENTS_TABLE} s ON s.identity_id = i.id
            WHERE s.state <> 'subscribed' OR (s.address <> '' AND s.address = a.address)
                OR (s.method <> 'confirmed' AND (a.is_visitor = 1 OR i.kind = '{lookup.CUSTOMER_ID}'))"""
    )
    temporary_tables.create_temporary_table("consent_of_address", f"address text, method text, at {moment}")
    execution.execute(
        f"""INSERT INTO consent_of_address
            SELECT a.address, s.method, s.at
            FROM consent_customers a JOIN customers_identity i ON i.customer_id = a.customer
            JOIN {STATEMENTS_TABLE} s ON s.identity_id = i.id
            WHERE a.address <> '' AND s.state = 'unsubscribed' AND s.method <> 'browser'
            UNION ALL
            SELECT u.address, u.method, u.at FROM {UNSUBSCRIPTIONS_TABLE} u
            WHERE u.address IN (SELECT address FROM consent_customers WHERE address <> '')"""
    )
    execution.execute(
        """INSERT INTO consent_collected
           SELECT a.customer, 'unsubscribed', u.method, u.at FROM consent_customers a JOIN (
               SELECT address, method, max(at) AS at FROM consent_of_address GROUP BY address, method
           ) AS u ON u.address = a.address"""
    )


def _compute_states() -> None:
    subscribed = {method: f"sub_{method}" for method in ConsentMethod.values}
    ended = {method: f"end_{method}" for method in _ENDED_BY_SAME_METHOD}
    newest = ", ".join(
        [
            f"max(at) FILTER (WHERE state = 'subscribed' AND method = '{method}') AS {name}"
            for method, name in subscribed.items()
        ]
        + [
            f"max(at) FILTER (WHERE state = 'unsubscribed' AND method = '{method}') AS {name}"
            for method, name in ended.items()
        ]
    )
    counted = ", ".join(
        f"CASE WHEN never IS NULL OR {name} > never THEN {name} END AS {name}" for name in subscribed.values()
    )
    still = " OR ".join(
        f"({end} IS NOT NULL AND NOT COALESCE({_latest_that_ends(method, subscribed)} > {end}, false))"
        for method, end in ended.items()
    )
    latest_end = dialect.greatest_sql(*ended.values())
    latest = dialect.greatest_sql(*subscribed.values())
    execution.execute("DROP TABLE IF EXISTS consent_computed")
    execution.execute(
        f"""CREATE TEMPORARY TABLE consent_computed AS
            WITH newest AS (
                SELECT customer, {newest}, max(at) FILTER (WHERE state = 'never') AS never,
                    max(at) FILTER (WHERE state = 'pending') AS pending
                FROM consent_collected GROUP BY customer),
            counted AS (
                SELECT a.customer, {counted}, {", ".join(ended.values())}, n.pending
                FROM consent_customers a LEFT JOIN newest n ON n.customer = a.customer),
            decided AS (
                SELECT customer, pending, {latest_end} AS latest_end, {latest} AS latest,
                    CASE WHEN {still} THEN 'unsubscribed'
                        WHEN {latest} IS NOT NULL THEN 'subscribed' ELSE 'never' END AS state
                FROM counted)
            SELECT customer, state,
                CASE state WHEN 'subscribed' THEN latest WHEN 'unsubscribed' THEN latest_end END AS made_at,
                CASE WHEN state <> 'subscribed' AND (latest_end IS NULL OR pending > latest_end)
                    THEN pending END AS pending
            FROM decided"""
    )


def _latest_that_ends(method: str, subscribed: Mapping[str, str]) -> str:
    return dialect.greatest_sql(*dict.fromkeys(subscribed[one] for one in (*_ENDS_ALL, method)))


def keys_sql(keys: Iterable[int]) -> str:
    return ", ".join(str(int(key)) for key in keys) or "NULL"
