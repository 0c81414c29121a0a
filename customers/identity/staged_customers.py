"""The customers of staged rows: found by their ids, and created if they are missing.

Creates ``Identity`` rows, as ``resolution`` and ``assertions`` do, and customers without profile data.
Identities are looked up by sub-selects that return one value, never joined: while a large file is imported, the
planner's statistics lag behind, and a join planned for an empty table takes minutes on a full one.
"""

from collections.abc import Iterable
from datetime import datetime

from core.db import dialect, execution, temporary_tables
from customers.models.customer import ANONYMOUS_PREFIX, Customer, DatedAttribute

from .lookup import ANONYMOUS_ID, CUSTOMER_ID, IDENTITY_TABLE


def fill_existing_customers(staged: str) -> None:
    """Fill ``customer`` of a staging table from its ``customer_id``, which may be a visitor's public id."""
    _fill_from_identities(staged, CUSTOMER_ID, "customer_id", "customer_id IS NOT NULL")
    execution.execute(
        f"""UPDATE {staged} SET customer =
                (SELECT c.id FROM customers_customer c WHERE c.customer_id = {staged}.customer_id)
            WHERE customer_id LIKE '{ANONYMOUS_PREFIX}%'"""
    )


def fill_customers(staged: str, at: datetime) -> None:
    """Fill ``customer`` from ``customer_id`` where it is empty, creating missing customers."""
    condition = "customer_id IS NOT NULL AND customer IS NULL"
    _resolve(staged, at, CUSTOMER_ID, "customer_id", public_id="customer_id", condition=condition)


def fill_visitors(staged: str, at: datetime) -> None:
    """Fill ``customer`` and ``visitor`` from ``anonymous_id`` in rows without a ``customer_id``, creating missing
    visitors.
    """
    public_id = f"'{ANONYMOUS_PREFIX}' || anonymous_id"
    condition = "anonymous_id IS NOT NULL AND customer_id IS NULL"
    _resolve(staged, at, ANONYMOUS_ID, "anonymous_id", public_id=public_id, condition=condition)


def _resolve(staged: str, at: datetime, kind: str, column: str, *, public_id: str, condition: str) -> None:
    _fill_from_identities(staged, kind, column, condition)
    unresolved = f"{condition} AND customer IS NULL"
    _create_missing_table()
    if execution.execute(
        f"INSERT INTO missing_ids SELECT DISTINCT {column}, {public_id} FROM {staged} WHERE {unresolved}"
    ):
        _create_missing(at, kind)
        _fill_from_identities(staged, kind, column, unresolved)


def get_or_create(kind: str, values: Iterable[str], at: datetime, *, is_trusted: bool = True) -> None:
    """Create the customers, or visitors, of ids that are not known yet."""
    prefix = ANONYMOUS_PREFIX if kind == ANONYMOUS_ID else ""
    _create_missing_table()
    temporary_tables.load_rows(
        "missing_ids", ("value", "public_id"), [(value, prefix + value) for value in set(values)]
    )
    _create_missing(at, kind, is_trusted=is_trusted)


def _create_missing_table() -> None:
    temporary_tables.create_temporary_table("missing_ids", "value text PRIMARY KEY, public_id text")


def _create_missing(at: datetime, kind: str, *, is_trusted: bool = True) -> None:
    execution.execute(
        """INSERT INTO customers_customer (customer_id, email, email_folded, phone, first_name, last_name, country,
                city, language, source, country_folded, city_folded, language_folded, source_folded, newsletter,
                attributes, attributes_comparable, recorded_at)
            SELECT public_id, '', '', '', '', '', '', '', '', '', '', '', '', '', 'never', '{}', '{}', %s
            FROM missing_ids WHERE true ON CONFLICT (customer_id) DO NOTHING""",
        [dialect.datetime_param(at)],
    )
    _reset_merged(at)
    # By the public id: two writers that create the same visitor at once both find the one row.
    execution.execute(
        f"""INSERT INTO {IDENTITY_TABLE} (kind, value, is_trusted, customer_id)
            SELECT '{kind}', missing_ids.value, {is_trusted}, c.id
            FROM missing_ids JOIN customers_customer c ON c.customer_id = missing_ids.public_id
            WHERE true ON CONFLICT (kind, value) DO NOTHING"""
    )


def _reset_merged(at: datetime) -> None:
    """Let merged visitors whose id is used again start anew, because their profile data was merged into another
    profile.
    """
    merged = """SELECT c.id FROM missing_ids JOIN customers_customer c ON c.customer_id = missing_ids.public_id
        WHERE c.merged_into_id > 0"""
    revived = [key for (key,) in execution.fetch_all(merged)]
    if not revived:
        return
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
