"""What an address may ask of the admin's lists: what they declare, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from core.admin.declared_lookups import DeclaredLookupsAdmin
from customers.facts import update

from .support.shop import customers

pytestmark = pytest.mark.django_db

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


CUSTOMERS = "/admin/customers/customer/"


@pytest.fixture
def viewer() -> Client:
    """Who may see every list and page there is, and no contact data."""
    user = User.objects.create(username="looking", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_").exclude(codename="view_contact_data")
    )
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def address_of(model: type[Model], view: str = "changelist") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}")


def columns(model: type[Model], depth: int = 2) -> Iterator[str]:
    """Every column of a model, and those of the models it leads to."""
    for field in model._meta.get_fields():
        yield field.name
        related: Any = field.related_model
        if depth > 1 and related:
            yield from (f"{field.name}__{column}" for column in columns(related, depth - 1))


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_every_admin_accepts_only_the_parameters_it_declares(model):
    site = admin.site._registry[model]
    request: Any = type("Request", (), {"GET": {}, "user": User(is_superuser=True)})()
    lookups = {
        f"{column}{word}"
        for column in columns(model)
        for word in ("", "__startswith", "__gte", "__contains", "__regex", "__isnull", "__in")
    }

    taken = {lookup for lookup in lookups if site.lookup_allowed(lookup, "a", request)}

    assert isinstance(site, DeclaredLookupsAdmin)
    declared = {one if isinstance(one, str) else one[0] for one in site.list_filter if not callable(one)}
    named = {one.parameter_name for one in site.list_filter if callable(one)}
    assert {lookup.split("__")[0] for lookup in taken} - named <= declared
    assert not {lookup for lookup in taken if lookup.endswith(("startswith", "contains", "regex", "__in"))}


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_a_list_is_never_filtered_by_an_undeclared_field(model, viewer):
    for column in ("email", "secret", "password", "customer__email", "user__password", "id", "pk"):
        answered = viewer.get(address_of(model), {f"{column}__startswith": "a"})

        assert answered.status_code in (302, 400), column


def test_parameters_of_a_list_reveal_no_customer_and_no_secret(viewer):
    customers("c1,anna@example.org")
    update.update_facts()

    for list_, parameter, value in (
        ("customers_customer", "email__startswith", "a"),
        ("customers_customer", "email", "anna@example.org"),
        ("customers_customer", "phone__gt", ""),
        ("customers_customer", "identities__value__contains", "@"),
        ("customers_customer", "known__startswith", "y"),
        ("segments_endpoint", "secret__gte", "whsec_a"),
        ("segments_message", "endpoint__secret__gte", "whsec_a"),
        ("customers_source", "signing_secret__gte", "a"),
    ):
        answered = viewer.get(reverse(f"admin:{list_}_changelist"), {parameter: value})
        assert answered.status_code in (302, 400), parameter
    assert viewer.get(CUSTOMERS, {"known": "yes"}).status_code == 200
    assert viewer.get(CUSTOMERS, {"_to_field": "email", "_popup": "1"}).status_code == 400


def test_declared_filters_still_work(admin_client):
    for list_, query in (
        ("customers_customer", "known=yes"),
        ("admin_logentry", "did=added"),
        ("admin_logentry", "action_time__gte=2026-01-01%2000:00:00%2B00:00"),
        ("auth_user", "is_active__exact=1"),
        ("auth_user", "groups__id__exact=1"),
        ("django_celery_beat_periodictask", "enabled__exact=1"),
        ("campaigns_campaign", "state=draft"),
    ):
        answered = admin_client.get(f"{reverse(f'admin:{list_}_changelist')}?{query}")
        assert answered.status_code == 200, query


def test_a_viewer_cannot_sort_customers_by_masked_columns(viewer):
    customers("c1,zoe@example.org", "c2,anna@example.org", "c3,mia@example.org")
    update.update_facts()

    def listed(order: str) -> list[str]:
        found = viewer.get(CUSTOMERS, {"o": order}).context["cl"].result_list
        return [customer.customer_id for customer in found]

    assert {tuple(listed(order)) for order in ("", "1", "-1", "2", "-2", "3", "2.-3")} == {("c3", "c2", "c1")}


def test_autocomplete_lists_no_customers(viewer):
    customers("c1,anna@example.org")
    asked = {"app_label": "customers", "model_name": "order", "field_name": "customer", "term": "c"}

    assert viewer.get(reverse("admin:autocomplete"), asked).status_code == 403
