"""Consent: what was stated of whom, and what follows from it for each customer.

The only writer of ``ConsentStatement``, ``AddressUnsubscription``, ``Suppression`` and ``ConsentChange``, and of the
columns ``newsletter`` and ``pending_at`` of customers.

Of each kind of statement the newest is kept, under the identity of which it was made; unsubscriptions also hold for an
address, whoever has it. The state of a customer is a function of these rows, so it does not depend on the order in
which they arrive:

* An unsubscription of one way ends with a newer ``subscribed`` of the same way, or with a newer firm or confirmed one.
* While one has not ended, the customer is ``unsubscribed``; else ``subscribed`` if anything says so, else ``never``.
* ``never`` takes back what was said before it, and ends no unsubscription.
* What was said of a visitor counts for the customer they turned out to be only where it names the customer's address.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.db.models.expressions import RawSQL

from core.db import backends, dialect, execution, temporary_tables, transactions
from core.db.sql import Query, Sql, compose
from core.values import email_addresses

from .identity import lookup, tombstones
from .models import AddressUnsubscription, ConsentStatement, Customer, Suppression
from .models.consent import Way
from .models.customer import ANONYMOUS_PREFIX

PENDING_FOR: Final = timedelta(days=30)
ADDRESS: Final = "address"  # the kind of id under which erased addresses are known

State = ConsentStatement.State
Reason = Suppression.Reason

API_SOURCE: Final = "API"
"""The source of what comes by the API."""
STATEMENTS_TABLE: Final = ConsentStatement._meta.db_table
UNSUBSCRIPTIONS_TABLE: Final = AddressUnsubscription._meta.db_table
# The ways whose statements are ended by one another alone; firm and confirmed ones end all of them.
_ENDED_ALIKE: Final = (Way.FIRM.value, Way.FILE.value, Way.API.value, Way.BROWSER.value)
_ENDS_ALL: Final = (Way.FIRM.value, Way.CONFIRMED.value)


@dataclass(frozen=True, slots=True)
class Statement:
    """What was stated of an identity, when, and which address it names, by its key."""

    identity: int
    state: str
    way: str
    at: datetime
    address: str = ""


# -- Questions


def pending_q(at: datetime, path: str = "") -> Q:
    """Ask who waits for the confirmation of their address at an instant; ``path`` leads to the customer."""
    return Q(**{f"{path}pending_at__gt": at - PENDING_FOR, f"{path}pending_at__lte": at})


def unsuppressed_q(path: str = "") -> Q:
    """Ask for customers whose address may get messages; ``path`` leads to the customer."""
    suppressed = Suppression.objects.filter(address__isnull=False).values("address")
    return ~Q(**{f"{path}email_folded__in": suppressed})


def is_suppressed(address: str) -> bool:
    """Tell whether an address gets no messages."""
    key = email_addresses.fold_email(address)
    recognize([key])
    return Suppression.objects.filter(address=key).exists()


# -- What holds for an address


def unsubscribe(address: str, at: datetime, *, source: str, identities: Iterable[int] = ()) -> int:
    """End the newsletter for an address, and for identities that it is said of; return how many customers changed.

    For the link of a message, staff and mail servers: nothing undated ends it. It may be asked for again and again.
    """

    def act() -> int:
        tombstones.lock_shared()
        key = email_addresses.fold_email(address)
        recognize([key])
        store_statements([Statement(one, State.UNSUBSCRIBED, Way.FIRM, at, key) for one in identities])
        among = Sql(f"SELECT customer_id FROM customers_identity WHERE id IN ({keys_sql(identities)})")
        if key:
            insert_unsubscriptions(f"SELECT '{Way.FIRM.value}', %s, {dialect.datetime_cast_sql('%s')}, %s",
                                   [key, dialect.datetime_param(at), source])  # fmt: skip
            among += Sql(" UNION SELECT id FROM customers_customer WHERE email_folded = %s", (key,))
        return settle(among, at, source=source)

    changed = transactions.retry_on_deadlock(act)
    if backends.is_postgresql():  # customers that came in meanwhile with this address
        transaction.on_commit(partial(settle_addresses, [address], at, source=source))
    return changed


def suppress(address: str, at: datetime, *, reason: str, source: str, detail: str = "") -> bool:
    """Send nothing more to an address until staff lift it; tell whether it was not suppressed before.

    A complaint is also an unsubscription.
    """
    key = email_addresses.fold_email(address)
    if not key:
        return False
    recognize([key])
    _, is_new = Suppression.objects.get_or_create(
        address=key, defaults={"at": at, "reason": reason, "source": source[:50], "detail": detail[:300]}
    )
    if reason == Reason.COMPLAINED:
        unsubscribe(key, at, source=source)
    return is_new


def lift(address: str) -> bool:
    """Let an address get messages again; tell whether it was suppressed."""
    key = email_addresses.fold_email(address)
    recognize([key])
    return Suppression.objects.filter(address=key).delete()[0] > 0


def lift_suppression(suppression: Suppression) -> None:
    """Let the address of a suppression get messages again, also that of somebody who was erased."""
    Suppression.objects.filter(pk=suppression.pk).delete()


def insert_unsubscriptions(select: str, params: Sequence[object] = ()) -> None:
    """Keep unsubscriptions that a query gives: way, address, moment and source."""
    execution.execute(
        f"""INSERT INTO {UNSUBSCRIPTIONS_TABLE} (way, address, at, source)
            SELECT * FROM ({select}) AS said WHERE true
            ON CONFLICT (address, way) DO UPDATE SET at = excluded.at, source = excluded.source
                WHERE excluded.at > {UNSUBSCRIPTIONS_TABLE}.at""",
        params,
    )


# -- Addresses of the erased


def recognize(addresses: Iterable[str]) -> None:
    """Find by its digest what holds for addresses, given by their keys, whose owners were erased and are here again."""
    keys = list(addresses)
    for model in (AddressUnsubscription, Suppression):
        if not model.objects.filter(digest__isnull=False).exists():
            continue
        digests = tombstones.digests((ADDRESS, one) for one in keys if one)
        listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(list(digests))])
        for row in model.objects.filter(digest__in=listed):
            _, address = digests[str(row.digest)]
            same = model.objects.filter(address=address, **({"way": row.way} if hasattr(row, "way") else {}))
            same.filter(at__lt=row.at).delete()
            if same.exists():
                row.delete()
            else:
                model.objects.filter(pk=row.pk).update(address=address, digest=None)


def forget(customers: Sequence[int]) -> None:
    """Keep what holds for the addresses of customers who are about to be erased, without the addresses.

    Where somebody else has the address, it stays as it is.
    """
    theirs = Customer.objects.filter(pk__in=customers).exclude(email_folded="")
    addresses = set(theirs.values_list("email_folded", flat=True))
    for address in addresses:
        of_address = Customer.objects.filter(email_folded=address)
        among = of_address.filter(pk__in=customers)
        said = ConsentStatement.objects.filter(
            identity__customer__in=[*customers, *among.values_list("merged_into_id", flat=True)],
            state=State.UNSUBSCRIBED,
        ).exclude(way=Way.BROWSER)
        for one in said:
            insert_unsubscriptions(
                f"SELECT %s, %s, {dialect.datetime_cast_sql('%s')}, 'an erased customer'",
                [one.way, address, dialect.datetime_param(one.at)],
            )
        if of_address.existing().exclude(pk__in=customers).exists():
            continue
        digest = tombstones.digest_of((ADDRESS, address))
        for model in (AddressUnsubscription, Suppression):
            model.objects.filter(address=address).update(address=None, digest=digest)
        Suppression.objects.filter(digest=digest).update(detail="")


# -- Statements


def store_statements(statements: Iterable[Statement]) -> None:
    """Keep statements of identities, each where it is the newest of its kind."""
    rows = [
        (one.identity, one.state, one.way, dialect.datetime_param(one.at), one.address) for one in statements
    ]
    if rows:
        _create_statement_table()
        temporary_tables.load_rows("consent_stated", ("identity", "state", "way", "at", "address"), rows)
        _store_staged_statements()


def state_with_addresses(statements: Sequence[Statement], source: str) -> None:
    """Keep statements that anybody but a browser made: an unsubscription also holds for the address that it names."""
    store_statements(statements)
    named = [
        one for one in statements if one.state == State.UNSUBSCRIBED and one.address and one.way == Way.FIRM
    ]
    for one in named:
        recognize([one.address])
        insert_unsubscriptions(
            f"SELECT %s, %s, {dialect.datetime_cast_sql('%s')}, %s",
            [one.way, one.address, dialect.datetime_param(one.at), source],
        )


def note_addresses(staged: str) -> None:
    """Note, before staged customers are written, whose address comes or goes."""
    temporary_tables.create_temporary_table("consent_touched", "customer bigint, address text")
    execution.execute(
        f"""INSERT INTO consent_touched SELECT s.customer, r.email_folded
            FROM {staged} s JOIN customers_customer r ON r.id = s.customer
            WHERE s.newsletter IS NOT NULL OR s.email_folded <> r.email_folded"""
    )
    if Suppression.objects.filter(digest__isnull=False).exists() or (
        AddressUnsubscription.objects.filter(digest__isnull=False).exists()
    ):
        recognize(
            address
            for (address,) in execution.fetch_all(
                f"SELECT email_folded FROM {staged} WHERE email_folded <> ''"
            )
        )


def state_staged(staged: str, now: datetime, source: str) -> list[int]:
    """Take what staged customers, who are written already, say of consent; return the lines whose end was kept.

    These say ``subscribed``, and the customer stays unsubscribed all the same.
    """
    way = Way.API.value if source == API_SOURCE else Way.FILE.value
    instant, moment = dialect.datetime_cast_sql("%s"), dialect.datetime_param(now)
    _create_statement_table()
    is_dated = "s.newsletter = 'subscribed' AND s.subscribed_at IS NOT NULL"
    stated = execution.execute(
        f"""INSERT INTO consent_stated (identity, state, way, at, address)
            SELECT i.id, s.newsletter, CASE WHEN {is_dated} THEN 'firm' ELSE '{way}' END,
                CASE WHEN {is_dated} THEN {dialect.least_sql("s.subscribed_at", instant)} ELSE {instant} END,
                 c.email_folded
            FROM {staged} s JOIN customers_customer c ON c.id = s.customer
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
            """SELECT way, address, max(at), %s FROM consent_stated
                WHERE state = 'unsubscribed' AND address <> '' GROUP BY way, address""",
            [source[:50]],
        )
        execution.execute(
            """INSERT INTO consent_touched SELECT i.customer_id, ''
               FROM consent_stated n JOIN customers_identity i ON i.id = n.identity"""
        )
    settle(
        Sql(
            """SELECT customer FROM consent_touched UNION
               SELECT id FROM customers_customer
               WHERE email_folded IN (SELECT address FROM consent_touched WHERE address <> '')"""
        ),
        now,
        source=source,
    )
    kept = execution.fetch_all(
        f"""SELECT s.line FROM {staged} s JOIN customers_customer c ON c.id = s.customer
            WHERE s.newsletter = 'subscribed' AND c.newsletter = 'unsubscribed' ORDER BY s.line"""
    ) if stated else []  # fmt: skip
    return [line for (line,) in kept]


def _create_statement_table() -> None:
    columns = f"identity bigint, state text, way text, at {dialect.datetime_type_sql()}, address text"
    temporary_tables.create_temporary_table("consent_stated", columns)


def _store_staged_statements() -> None:
    execution.execute(
        f"""INSERT INTO {STATEMENTS_TABLE} (identity_id, state, way, at, address)
            SELECT identity, state, way, at, address FROM (
                SELECT n.*, row_number() OVER (
                    PARTITION BY identity, state, way ORDER BY at DESC, address DESC) AS nth
                FROM consent_stated n) AS newest
            WHERE nth = 1
            ON CONFLICT (identity_id, state, way) DO UPDATE SET at = excluded.at, address = excluded.address
                WHERE excluded.at > {STATEMENTS_TABLE}.at
                    OR (excluded.at = {STATEMENTS_TABLE}.at AND excluded.address > {STATEMENTS_TABLE}.address)"""
    )


# -- What follows for each customer


def settle_addresses(addresses: Iterable[str], at: datetime, *, source: str = "") -> int:
    """Bring the customers who have some addresses in line with what was stated; return how many changed."""
    keys = [email_addresses.fold_email(one) for one in addresses]
    among = Customer.objects.filter(email_folded__in=keys).order_by().values("pk")
    return transactions.retry_on_deadlock(lambda: settle(among, at, source=source)) if keys else 0


def settle_customers(customers: Iterable[int], at: datetime, *, source: str, told: int | None = None) -> int:
    """Bring customers, named by their keys, in line with what was stated; return how many changed."""
    return settle(Sql(keys_sql(customers)), at, source=source, told=told)


def follow_joins(joined: str) -> None:
    """Bring customers in line whom visitors have just turned out to be."""
    [(at,)] = execution.fetch_all("SELECT CURRENT_TIMESTAMP")
    settle(
        Sql(f"SELECT visitor FROM {joined} UNION SELECT customer FROM {joined}"),
        dialect.datetime_from_row(at),
        source="merge",
    )


def settle(
    among: Query,
    at: datetime,
    *,
    source: str,
    told: int | None = None,
) -> int:
    """Bring the customers of a query, and all who share their addresses, in line with what was stated.

    Whoever changes is queued for the next pass and gets an entry in the history of consent, but for ``told``, whose
    entry is written already. Return how many changed.
    """
    _select_customers(among)
    _collect_statements()
    _compute_states()
    execution.execute("DROP TABLE IF EXISTS consent_changed")
    execution.execute(
        """CREATE TEMPORARY TABLE consent_changed AS
           SELECT v.customer, v.state, v.pending, v.made_at, c.newsletter AS before
           FROM consent_verdict v JOIN customers_customer c ON c.id = v.customer
           WHERE v.state <> c.newsletter OR v.pending <> c.pending_at
               OR (v.pending IS NULL) <> (c.pending_at IS NULL)"""
    )
    [(changed,)] = execution.fetch_all("SELECT count(*) FROM consent_changed")
    if changed:
        execution.execute(
            f"""INSERT INTO customers_consentchange (customer_id, state, at, source, address)
                SELECT customer, state, COALESCE(made_at, {dialect.datetime_cast_sql("%s")}), %s, ''
                FROM consent_changed WHERE state <> before AND customer <> %s ORDER BY customer""",
            [dialect.datetime_param(at), source[:50], told or 0],
        )
        execution.execute(
            """UPDATE customers_customer SET newsletter = v.state, pending_at = v.pending
               FROM consent_changed v WHERE v.customer = customers_customer.id"""
        )
        lookup.queue_stale(Sql("SELECT customer FROM consent_changed"))
    return int(changed)


def _select_customers(among: Query) -> None:
    temporary_tables.create_temporary_table(
        "consent_among", "customer bigint PRIMARY KEY, address text, is_visitor integer"
    )
    columns = f"c.id, c.email_folded, CASE WHEN c.customer_id LIKE '{ANONYMOUS_PREFIX}%%' THEN 1 ELSE 0 END"
    execution.execute(
        compose(
            f"""INSERT INTO consent_among SELECT {columns} FROM customers_customer c
                WHERE c.id IN ({{among}}) AND c.merged_into_id IS NULL""",
            among=among,
        )
    )
    execution.execute(
        f"""INSERT INTO consent_among SELECT {columns} FROM customers_customer c
            WHERE c.email_folded IN (SELECT address FROM consent_among WHERE address <> '')
                AND c.merged_into_id IS NULL ON CONFLICT (customer) DO NOTHING""",
        [],
    )


def _collect_statements() -> None:
    """Gather what was stated of each customer, and of the address by whoever has it."""
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        "consent_said", f"customer bigint, state text, way text, at {moment}"
    )
    execution.execute(
        f"""INSERT INTO consent_said
            SELECT a.customer, s.state, s.way, s.at
            FROM consent_among a JOIN customers_identity i ON i.customer_id = a.customer
            JOIN {STATEMENTS_TABLE} s ON s.identity_id = i.id
            WHERE s.state <> 'subscribed' OR (s.address <> '' AND s.address = a.address)
                OR (s.way <> 'confirmed' AND (a.is_visitor = 1 OR i.kind = '{lookup.CUSTOMER_ID}'))"""
    )
    temporary_tables.create_temporary_table("consent_of_address", f"address text, way text, at {moment}")
    execution.execute(
        f"""INSERT INTO consent_of_address
            SELECT a.address, s.way, s.at
            FROM consent_among a JOIN customers_identity i ON i.customer_id = a.customer
            JOIN {STATEMENTS_TABLE} s ON s.identity_id = i.id
            WHERE a.address <> '' AND s.state = 'unsubscribed' AND s.way <> 'browser'
            UNION ALL
            SELECT u.address, u.way, u.at FROM {UNSUBSCRIPTIONS_TABLE} u
            WHERE u.address IN (SELECT address FROM consent_among WHERE address <> '')"""
    )
    execution.execute(
        """INSERT INTO consent_said
           SELECT a.customer, 'unsubscribed', u.way, u.at FROM consent_among a JOIN (
               SELECT address, way, max(at) AS at FROM consent_of_address GROUP BY address, way
           ) AS u ON u.address = a.address"""
    )


def _compute_states() -> None:
    subscribed = {way: f"sub_{way}" for way in Way.values}
    ended = {way: f"end_{way}" for way in _ENDED_ALIKE}
    newest = ", ".join(
        [
            f"max(at) FILTER (WHERE state = 'subscribed' AND way = '{way}') AS {name}"
            for way, name in subscribed.items()
        ]
        + [
            f"max(at) FILTER (WHERE state = 'unsubscribed' AND way = '{way}') AS {name}"
            for way, name in ended.items()
        ]
    )
    counted = ", ".join(
        f"CASE WHEN never IS NULL OR {name} > never THEN {name} END AS {name}" for name in subscribed.values()
    )
    still = " OR ".join(
        f"({end} IS NOT NULL AND NOT COALESCE({_latest_that_ends(way, subscribed)} > {end}, false))"
        for way, end in ended.items()
    )
    latest_end = dialect.greatest_sql(*ended.values())
    latest = dialect.greatest_sql(*subscribed.values())
    execution.execute("DROP TABLE IF EXISTS consent_verdict")
    execution.execute(
        f"""CREATE TEMPORARY TABLE consent_verdict AS
            WITH newest AS (
                SELECT customer, {newest}, max(at) FILTER (WHERE state = 'never') AS never,
                    max(at) FILTER (WHERE state = 'pending') AS pending
                FROM consent_said GROUP BY customer),
            counted AS (
                SELECT a.customer, {counted}, {", ".join(ended.values())}, n.pending
                FROM consent_among a LEFT JOIN newest n ON n.customer = a.customer),
            judged AS (
                SELECT customer, pending, {latest_end} AS latest_end, {latest} AS latest,
                    CASE WHEN {still} THEN 'unsubscribed'
                        WHEN {latest} IS NOT NULL THEN 'subscribed' ELSE 'never' END AS state
                FROM counted)
            SELECT customer, state,
                CASE state WHEN 'subscribed' THEN latest WHEN 'unsubscribed' THEN latest_end END AS made_at,
                CASE WHEN state <> 'subscribed' AND (latest_end IS NULL OR pending > latest_end)
                    THEN pending END AS pending
            FROM judged"""
    )


def _latest_that_ends(way: str, subscribed: Mapping[str, str]) -> str:
    return dialect.greatest_sql(*dict.fromkeys(subscribed[one] for one in (*_ENDS_ALL, way)))


def keys_sql(keys: Iterable[int]) -> str:
    return ", ".join(str(int(key)) for key in keys) or "NULL"
