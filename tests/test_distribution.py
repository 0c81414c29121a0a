"""Which tables are distributed, what their keys and foreign keys must be like, and the command ``distribute``."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import CommandError
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from core.db import distribution
from core.db.distribution import CannotDistribute, Layout
from core.db.execution import execute, fetch_all
from customers.models import Customer
from segments_project.distribution import LAYOUT, ON_COORDINATOR

from .conftest import is_cluster
from .support import shop

pytestmark = pytest.mark.django_db

OUR_APPS = ("core", "customers", "segments", "campaigns")
BETWEEN_COORDINATOR_TABLES = {
    ("core_dismissal", "user_id", "auth_user"),
    ("campaigns_step", "campaign_id", "campaigns_campaign"),
    ("core_installedrole", "group_id", "auth_group"),
    ("segments_refreshresult", "refresh_id", "segments_refresh"),
}
UNIQUE_UNTIL_DISTRIBUTED = {"customer_once"}


@pytest.fixture
def on_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite cannot be distributed")


@pytest.fixture
def on_plain_postgresql(on_postgresql: None, request: pytest.FixtureRequest) -> None:
    if is_cluster(request.config):
        pytest.skip("the database of a cluster is distributed already")


def our_tables() -> dict[str, type[Model]]:
    return {
        model._meta.db_table: model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in OUR_APPS and model._meta.managed
    }


def unique_indexes_without_column() -> set[str]:
    return {
        name
        for table, column in LAYOUT.distributed.items()
        for (name,) in fetch_all(
            """SELECT indexrelid::regclass::text FROM pg_index
               WHERE indrelid = %s::regclass AND indisunique AND NOT EXISTS (
                   SELECT 1 FROM pg_attribute
                   WHERE attrelid = indrelid AND attnum = ANY(indkey) AND attname = %s)""",
            [table, column],
        )
    }


# -- The lists


def test_every_table_that_refers_to_a_customer_is_distributed_or_listed_as_not() -> None:
    referring = {
        table
        for table, model in our_tables().items()
        for field in model._meta.concrete_fields
        if (field.related_model is Customer or field.attname == "customer_id")
    }

    listed = {*LAYOUT.distributed, *ON_COORDINATOR}
    assert referring - listed == set(), "list them in segments_project/distribution.py"
    assert listed - referring == set()
    assert not ON_COORDINATOR & LAYOUT.distributed.keys()


# -- The catalogue of the database


def test_foreign_keys_lead_from_distributed_tables_to_the_customer_and_are_immediate(
    on_postgresql: None,
) -> None:
    keys = fetch_all(
        """SELECT k.conrelid::regclass::text, a.attname, k.confrelid::regclass::text, k.condeferrable
           FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
           WHERE k.contype = 'f' AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = k.conrelid)"""
    )
    ours = {key[:3]: key[3] for key in keys if key[0] in our_tables()}

    between_others = {key for key in ours if key[2] != "customers_customer"}
    assert between_others == BETWEEN_COORDINATOR_TABLES
    to_customer = {key: is_deferrable for key, is_deferrable in ours.items() if key not in between_others}
    assert {table for table, _, _ in to_customer} <= LAYOUT.distributed.keys()
    assert {column for _, column, _ in to_customer} == {"customer_id"}
    assert not any(to_customer.values()), "a deferred check does not reach the other machines"


def test_no_table_has_a_trigger(on_postgresql: None) -> None:
    triggers = fetch_all("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal")

    assert [one for one in triggers if one[0].startswith(OUR_APPS)] == []


def test_unique_indexes_of_distributed_tables_contain_the_distribution_column(
    on_plain_postgresql: None,
) -> None:
    assert unique_indexes_without_column() == UNIQUE_UNTIL_DISTRIBUTED

    shop.command("distribute")

    assert unique_indexes_without_column() == set()


# -- The command


def test_it_says_what_is_missing_does_it_once_and_says_what_it_did(on_plain_postgresql: None) -> None:
    with pytest.raises(CommandError, match="customer_once of customers_customer is unique without id"):
        shop.command("distribute", "--check")

    done = shop.command("distribute")

    assert "customer_once of customers_customer is no longer unique" in done
    assert "not distributed: this PostgreSQL has no Citus" in done
    assert "Nothing is missing" in shop.command("distribute", "--check")
    assert "no longer" not in shop.command("distribute")


def test_customers_are_still_found_by_how_their_ids_begin(on_plain_postgresql: None) -> None:
    [before] = fetch_all("SELECT indexdef FROM pg_indexes WHERE indexname = 'customer_once'")

    shop.command("distribute")

    [after] = fetch_all("SELECT indexdef FROM pg_indexes WHERE indexname = 'customer_once'")
    assert after == (before[0].replace("UNIQUE ", ""),)


def test_sqlite_is_refused() -> None:
    if connection.vendor == "sqlite":
        with pytest.raises(CommandError, match=r"SQLite cannot be distributed\. Move"):
            shop.command("distribute")


def test_a_table_without_the_column_in_its_primary_key_is_refused(on_plain_postgresql: None) -> None:
    execute("CREATE TABLE notes (id bigint PRIMARY KEY, customer_id bigint)")

    with pytest.raises(CannotDistribute, match="primary key notes_pkey of notes lacks customer_id"):
        distribution.distribute(Layout({"notes": "customer_id"}))


def test_a_foreign_key_from_a_table_that_stays_is_refused(on_plain_postgresql: None) -> None:
    execute("CREATE TABLE notes (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers_customer)")

    with pytest.raises(CannotDistribute, match="notes_customer_id_fkey of notes"):
        distribution.find_missing(LAYOUT)


def test_a_unique_constraint_becomes_an_index_too(on_plain_postgresql: None) -> None:
    execute("CREATE TABLE notes (customer_id bigint PRIMARY KEY, code text UNIQUE)")

    done = distribution.distribute(Layout({"notes": "customer_id"}))

    assert done == ["The index notes_code_key of notes is no longer unique."]
    execute("INSERT INTO notes VALUES (1, 'a'), (2, 'a')")
    with pytest.raises(IntegrityError), transaction.atomic():
        execute("INSERT INTO notes VALUES (1, 'b')")
