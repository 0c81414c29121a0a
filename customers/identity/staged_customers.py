"""The customers of staged rows: found by their ids, and created if they are missing.

Creates ``Identity`` rows, as ``resolution`` and ``assertions`` do, and customers without profile data.
Identities are looked up by sub-selects that return one value, never joined: while a large file is imported, the
planner's statistics lag behind, and a join planned for an empty table takes minutes on a full one.
"""

from collections.abc import Iterable
from datetime import datetime

from core.db import backends, dialect, execution, temporary_tables
from customers.models.customer import ANONYMOUS_PREFIX, Customer, DatedAttribute

from .lookup import ANONYMOUS_ID, CUSTOMER_ID, CUSTOMERS_TABLE, IDENTITY_TABLE


def fill_existing_customers(staged: str) -> None:
    """Fill ``customer`` of a staging table from its ``customer_id``, which may be a visitor's public id."""
    _fill_from_identities(staged, CUSTOMER_ID, "customer_id", "customer_id IS NOT NULL")
    visitors = f"customer_id LIKE '{ANONYMOUS_PREFIX}%'"
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE {visitors} LIMIT 1"):
        _find_public_ids(f"SELECT customer_id FROM {staged} WHERE {visitors}")
        execution.execute(
            f"""UPDATE {staged} SET customer =
                    (SELECT f.customer FROM found_customers f WHERE f.public_id = {staged}.customer_id)
                WHERE {visitors}"""
        )


def fill_customers(staged: str, at: datetime) -> int:
    """Fill ``customer`` from ``customer_id`` where it is empty, creating missing customers. Return how many."""
    condition = "customer_id IS NOT NULL AND customer IS NULL"
    return _resolve(staged, at, CUSTOMER_ID, "customer_id", public_id="customer_id", condition=condition)


def fill_visitors(staged: str, at: datetime) -> None:
    """Fill ``customer`` and ``visitor`` from ``anonymous_id`` in rows without a ``customer_id``, creating missing
    visitors.
    """
    public_id = f"'{ANONYMOUS_PREFIX}' || anonymous_id"
    condition = "anonymous_id IS NOT NULL AND customer_id IS NULL"
    _resolve(staged, at, ANONYMOUS_ID, "anonymous_id", public_id=public_id, condition=condition)


def _resolve(staged: str, at: datetime, kind: str, column: str, *, public_id: str, condition: str) -> int:
    """Return how many customers were created."""
    created = 0
    _fill_from_identities(staged, kind, column, condition)
    unresolved = f"{condition} AND customer IS NULL"
    _create_missing_table()
    if execution.execute(
        f"""INSERT INTO missing_ids (value, public_id)
            SELECT DISTINCT {column}, {public_id} FROM {staged} WHERE {unresolved}"""
    ):
        created = _create_missing(at, kind)
        _fill_from_identities(staged, kind, column, unresolved)
    return created


def get_or_create(kind: str, values: Iterable[str], at: datetime, *, is_trusted: bool = True) -> None:
    """Create the customers, or visitors, of ids that are not known yet, or whose own customer does not exist yet."""
    prefix = ANONYMOUS_PREFIX if kind == ANONYMOUS_ID else ""
    rows = [(value, prefix + value) for value in set(values)]
    if not rows:
        return
    _create_missing_table()
    temporary_tables.load_rows("missing_ids", ("value", "public_id"), rows)
    execution.execute(
        f"""UPDATE missing_ids SET is_known = 1 WHERE value IN (
                SELECT i.value FROM {IDENTITY_TABLE} i
                WHERE i.kind = '{kind}' AND i.value IN (SELECT value FROM missing_ids))"""
    )
    _create_missing(at, kind, is_trusted=is_trusted)


def _create_missing_table() -> None:
    temporary_tables.create_temporary_table(
        "missing_ids",
        "value text PRIMARY KEY, public_id text, is_known integer DEFAULT 0,"
        f" id bigint {backends.next_key_default_sql(CUSTOMERS_TABLE)}",
    )


def _find_public_ids(public_ids: str) -> int:
    """Fill ``found_customers`` with the customers whose public ids a query selects. Return how many there are."""
    temporary_tables.create_temporary_table(
        "found_customers", "public_id text PRIMARY KEY, customer bigint, merged_into bigint"
    )
    return execution.execute(
        f"""INSERT INTO found_customers SELECT c.customer_id, c.id, c.merged_into_id
            FROM {CUSTOMERS_TABLE} c WHERE c.customer_id IN ({public_ids})"""
    )


def _create_missing(at: datetime, kind: str, *, is_trusted: bool = True) -> int:
    """Create the identities and customers of ``missing_ids``. Return how many customers were created.

    Identities are written first, because they are unique: of two writers that name the same new id at once, the second
    waits here, and then finds the customer of the first.
    """
    backends.fill_next_keys("missing_ids", CUSTOMERS_TABLE)
    if _find_public_ids("SELECT public_id FROM missing_ids"):
        _reset_merged(at)
        execution.execute(
            """UPDATE missing_ids SET is_known = 0, id = (
                   SELECT f.customer FROM found_customers f WHERE f.public_id = missing_ids.public_id)
               WHERE public_id IN (SELECT public_id FROM found_customers)"""
        )
    execution.execute(
        f"""INSERT INTO {IDENTITY_TABLE} (kind, value, is_trusted, customer_id)
            SELECT '{kind}', value, {is_trusted}, id FROM missing_ids WHERE true ORDER BY value
            ON CONFLICT (kind, value) DO NOTHING"""
    )
    leads_to = f"(SELECT i.customer_id FROM {IDENTITY_TABLE} i WHERE i.kind = '{kind}' AND i.value = m.value)"
    return execution.execute(
        f"""INSERT INTO {CUSTOMERS_TABLE} (id, customer_id, email, email_folded, phone, first_name, last_name, country,
                city, language, source, country_folded, city_folded, language_folded, source_folded, newsletter,
                attributes, attributes_comparable, recorded_at)
            SELECT id, public_id, '', '', '', '', '', '', '', '', '', '', '', '', '', 'never', '{{}}', '{{}}', %s
            FROM missing_ids m WHERE public_id NOT IN (SELECT public_id FROM found_customers)
                AND (is_known = 1 OR {leads_to} = m.id)""",
        [dialect.datetime_param(at)],
    )


def _reset_merged(at: datetime) -> None:
    """Let merged visitors whose id is used again start anew, because their profile data was merged into another
    profile.
    """
    merged = execution.fetch_all("SELECT customer FROM found_customers WHERE merged_into IS NOT NULL")
    if not merged:
        return
    keys = [key for (key,) in merged]
    execution.lock_rows(CUSTOMERS_TABLE, keys, "NO KEY UPDATE")
    # One that somebody else has reset in the meantime may have data again.
    revived = list(
        Customer.objects.filter(pk__in=keys, merged_into__isnull=False).values_list("pk", flat=True)
    )
    blank = Customer(recorded_at=at)
    fields = [field for field in Customer._meta.concrete_fields if field.name not in ("id", "customer_id")]
    DatedAttribute.objects.filter(customer__in=revived).delete()
    Customer.objects.filter(pk__in=revived).update(
        **{field.attname: getattr(blank, field.attname) for field in fields}
    )


def _fill_from_identities(staged: str, kind: str, column: str, condition: str) -> None:
    execution.execute(
        f"""UPDATE {staged} SET (customer, visitor) =
                (SELECT i.customer_id, {"i.id" if kind == ANONYMOUS_ID else "CAST(NULL AS bigint)"}
                FROM {IDENTITY_TABLE} i WHERE i.kind = '{kind}' AND i.value = {staged}.{column})
            WHERE {condition}"""
    )
