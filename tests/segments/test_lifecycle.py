"""The stages of the lifecycle: setting them up, editing them, and who went from which to which."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse

from segments import segment_store, stages
from segments.lifecycle import editing
from segments.models import LifecycleStage, Segment
from segments.refresh.engine import refresh_all
from segments.templates import TEMPLATES
from tests.support import shop
from tests.support.api_client import ApiClient, error_paths

pytestmark = pytest.mark.django_db

ASKED = ["anonymous", "lost", "lead", "lapsed", "first-order", "repeat-buyers"]
SHOWN = ["anonymous", "lead", "first-order", "repeat-buyers", "lapsed", "lost"]
HEADER = "from,to,customers,revenue\n"


@pytest.fixture
def api() -> ApiClient:
    return ApiClient()


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def spring() -> None:
    """Anna's first order is in March and her second in April; Ben is a lead of April; a visitor comes in March."""
    shop.customers(
        "anna,a@example.org,2026-02-01",
        "ben,b@example.org,2026-04-10",
        header="customer_id,email,first_seen",
    )
    shop.orders("o1,anna,2026-03-31T23:59:59Z,10.50", "o2,anna,2026-04-01T00:00Z,20")
    shop.events("m1,,a1,View,2026-03-05")


# -- The flow


@pytest.mark.usefixtures("spring")
def test_the_command_counts_who_went_from_which_stage_to_which() -> None:
    assert shop.command("flow", "--from", "2026-03-31", "--to", "2026-04-30") == (
        HEADER + "anonymous,anonymous,1,0.00\nfirst-order,repeat-buyers,1,20.00\n-,lead,1,0.00\n"
    )
    assert shop.command("flow", "--from", "2026-02-28", "--to", "2026-03-31") == (
        HEADER + "lead,first-order,1,10.50\n-,anonymous,1,0.00\n"
    )


@pytest.mark.usefixtures("spring")
def test_the_stages_of_a_flow_can_be_chosen_and_are_asked_in_their_order() -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    shop.segment("regulars", {"order_count": {"at_least": 2}})
    days = ("--from", "2026-03-30", "--to", "2026-04-30")

    assert shop.command("flow", *days, "--stages", "buyers,regulars") == (
        HEADER + "-,buyers,1,30.50\n-,-,2,0.00\n"
    )
    assert shop.command("flow", *days, "--stages", "regulars,buyers") == (
        HEADER + "-,regulars,1,30.50\n-,-,2,0.00\n"
    )
    shop.segment("also", {"in_segment": {"is": "regulars"}})
    assert shop.command("flow", *days, "--stages", "also, lead") == (
        HEADER + "lead,also,1,30.50\n-,lead,1,0.00\n-,-,1,0.00\n"
    )


@pytest.mark.usefixtures("spring")
def test_a_fixed_list_is_a_stage_by_its_stored_members() -> None:
    keys, _ = segment_store.find_customers(["anna"])
    segment_store.create_fixed_list("friends", "Friends", keys, datetime.now(UTC))

    assert shop.command("flow", "--from", "2026-03-01", "--to", "2026-04-30", "--stages", "friends") == (
        HEADER + "friends,friends,1,30.50\n-,-,2,0.00\n"
    )


@pytest.mark.usefixtures("spring")
def test_a_day_ends_at_midnight_in_the_shops_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"

    assert "first-order" not in shop.command("flow", "--from", "2026-03-30", "--to", "2026-03-31")
    assert "lead,repeat-buyers,1,30.50" in shop.command("flow", "--from", "2026-03-31", "--to", "2026-04-01")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--from", "2026-03-31", "--to", "2026-03-30"], "--to: is before --from"),
        (["--from", "March", "--to", "2026-03-30"], "'March' is not a day"),
        (["--from", "0001-01-01", "--to", "2026-03-30"], "is not between 1970-01-01 and"),
        (["--from", "2026-03-01", "--to", "2026-03-30", "--stages", "nobody"], "no segment 'nobody'"),
        (["--from", "2026-03-01", "--to", "2026-03-30", "--stages", "lead,lead"], "names a segment twice"),
    ],
)
def test_invalid_arguments_of_the_command_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        shop.command("flow", *arguments)


@pytest.mark.usefixtures("spring")
def test_the_api_answers_the_same_flow(api: ApiClient) -> None:
    assert api.get("lifecycle/flow/?from=2026-03-31&to=2026-04-30") == {
        "from": "2026-03-31",
        "to": "2026-04-30",
        "stages": ASKED,
        "cells": [
            {"from": "anonymous", "to": "anonymous", "customers": 1, "revenue": "0.00"},
            {"from": "first-order", "to": "repeat-buyers", "customers": 1, "revenue": "20.00"},
            {"from": "-", "to": "lead", "customers": 1, "revenue": "0.00"},
        ],
    }
    assert error_paths(api.get("lifecycle/flow/?from=2026-03-31", 400)) == ["to"]
    assert error_paths(api.get("lifecycle/flow/?from=2026-03-31&to=2026-03-01", 400)) == ["to"]
    assert error_paths(api.get("lifecycle/flow/?from=1066-10-14&to=2026-03-01", 400)) == ["from"]


# -- The stages


def test_a_shop_without_stages_has_the_built_in_ones(api: ApiClient) -> None:
    listed = api.get("lifecycle/")

    assert [stage["slug"] for stage in listed] == ASKED
    assert [stage["slug"] for stage in sorted(listed, key=lambda stage: stage["shown"])] == SHOWN
    assert all(stage["is_built_in"] for stage in listed)


def test_installing_the_templates_creates_no_stages() -> None:
    segment_store.install_templates()

    assert Segment.objects.count() == len(TEMPLATES)
    assert not LifecycleStage.objects.exists()


def test_setting_up_the_lifecycle_creates_the_segments_that_are_missing(api: ApiClient) -> None:
    segment_store.install_templates()

    assert [segment.slug for segment in editing.set_up_lifecycle()] == ["lapsed", "repeat-buyers"]
    assert editing.set_up_lifecycle() == []
    listed = api.get("lifecycle/")
    assert [stage["slug"] for stage in listed] == ASKED
    assert [stage["slug"] for stage in sorted(listed, key=lambda stage: stage["shown"])] == SHOWN
    assert [stage["band"] for stage in listed] == [None, None, None, None, None, "hero"]
    assert not any(stage["is_built_in"] for stage in listed)


@pytest.mark.usefixtures("spring")
def test_each_customer_is_in_exactly_one_stage() -> None:
    segment_store.install_templates()
    editing.set_up_lifecycle()
    refresh_all(datetime(2026, 4, 30, tzinfo=UTC))

    assert stages.count_customers(stages.stored_stages(), 5.0) == dict.fromkeys(ASKED, 0) | {
        "anonymous": 1,
        "lead": 1,
        "repeat-buyers": 1,
        "-": 0,
    }
    refresh_all(datetime(2026, 4, 30, tzinfo=UTC) + timedelta(days=50))
    assert stages.count_customers(stages.stored_stages(), 5.0)["lapsed"] == 1


def test_the_api_replaces_the_stages(api: ApiClient) -> None:
    segment_store.install_templates()
    wanted = [{"slug": "lost"}, {"slug": "lead", "shown": 2}, {"slug": "repeat", "shown": 1, "band": "hero"}]

    stored = api.request("put", "lifecycle/", wanted)

    assert [(stage["slug"], stage["shown"], stage["band"]) for stage in stored] == [
        ("lost", 3, None),
        ("lead", 2, None),
        ("repeat", 1, "hero"),
    ]
    assert api.get("lifecycle/") == stored
    assert api.request("put", "lifecycle/", stored) == stored


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        ([], [""]),
        ([{"slug": "lead"}, {"slug": "nobody"}], ["[1].slug"]),
        ([{"slug": "lead"}, {"slug": "lead"}], ["[1].slug"]),
        ([{"slug": "lead", "band": "lead"}], ["[0].band"]),
        ([{"slug": "lead"}, {"slug": "lost", "band": "nobody"}], ["[1].band"]),
        ([{"slug": "lead", "size": 1}], ["[0].size"]),
        ([{"shown": 0, "slug": "lead"}], ["[0].shown"]),
    ],
)
def test_invalid_stages_are_refused_with_their_place(api: ApiClient, sent: Any, paths: list[str]) -> None:
    segment_store.install_templates()

    assert error_paths(api.request("put", "lifecycle/", sent, 400)) == paths
    assert not LifecycleStage.objects.exists()


def test_a_segment_that_is_a_stage_cannot_be_deleted(api: ApiClient) -> None:
    segment_store.install_templates()
    editing.set_up_lifecycle()

    told = api.delete("segments/lapsed/", 409)["message"]
    assert told == "lapsed cannot be deleted: it is used by the lifecycle stage in place 4."
    api.request("put", "lifecycle/", [{"slug": "lead"}])
    api.delete("segments/lapsed/")
    api.delete("segments/hero/")


def test_a_key_that_only_reads_cannot_replace_the_stages() -> None:
    ApiClient("segments:read").request("put", "lifecycle/", [{"slug": "lead"}], 403)


def test_installing_the_segments_in_the_admin_sets_up_the_lifecycle(admin: Client) -> None:
    admin.post(reverse("admin:segments_segment_install_templates"))

    assert [stage.slug for stage in stages.stored_stages()] == ASKED
    assert Segment.objects.count() == len(TEMPLATES) + 2
