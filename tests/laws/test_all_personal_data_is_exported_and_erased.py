"""Each table with rows of a customer is in the export, and is deleted or changed by an erasure."""

from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.db.models import CASCADE

from customers.models import Customer
from customers.privacy import personal_data
from tests.support import shop

TOLD = {
    "customers.Customer": "customer",
    "customers.Identity": "identities",
    "customers.ConsentChange": "consent",
    "customers.Order": "orders",
    "customers.OrderLine": "orders",
    "customers.Event": "events",
    "customers.Facts": "facts",
    "segments.Membership": "segments",
    "segments.Change": "segments",
    "segments.Message": "segments",
    "campaigns.Journey": "campaigns",
    "campaigns.Delivery": "campaigns",
    "campaigns.Coupon": "campaigns",
    "campaigns.AudienceMember": "campaigns",
}
NOT_TOLD = {
    "customers.DatedAttribute": "repeats the customer's attributes for queries",
    "customers.EventProduct": "repeats the products of events for queries",
    "customers.Upcoming": "says when a customer's facts are next updated, from records that are told",
    "customers.FactsAsOf": "is a temporary table",
}
KEPT_WITHOUT_THE_CUSTOMER = {
    "segments.Change": "counts stay; the id is kept for a month for those who follow the log",
    "segments.Message": "is emptied of the customer by segments.webhooks.outbox",
    "campaigns.Coupon": "the code stays, given to nobody",
    "customers.FactsAsOf": "is a temporary table",
}


def owned() -> dict[str, bool]:
    """Return each table with a foreign key to a customer, and whether its rows are deleted with the customer."""
    return {
        model._meta.label: field.remote_field.on_delete is CASCADE
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.remote_field and field.remote_field.model is Customer
    }


def test_every_table_of_a_customer_is_exported_or_has_a_reason_why_not() -> None:
    assert owned().keys() - TOLD.keys() - NOT_TOLD.keys() == set(), "say where an export tells these"
    assert TOLD.keys() & NOT_TOLD.keys() == set()
    assert TOLD.keys() | NOT_TOLD.keys() == owned().keys(), "these have no customer"


def test_every_table_of_a_customer_is_erased_or_has_a_reason_why_not() -> None:
    kept = {label for label, is_deleted in owned().items() if not is_deleted}

    assert kept == KEPT_WITHOUT_THE_CUSTOMER.keys()


@pytest.mark.django_db
def test_the_export_has_every_section_that_the_tables_name() -> None:
    shop.customers("c1,anna@example.org")
    told = personal_data.export_customer(Customer.objects.get(customer_id="c1"), datetime.now(UTC))

    assert set(TOLD.values()) <= told.keys()
