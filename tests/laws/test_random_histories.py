"""After every refresh of a random history, the members are exactly right."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.facts import update
from customers.models import Customer
from segments import fixed_lists, segment_store
from segments.models import Change, Membership, Segment
from segments.refresh import plan, verification
from segments.refresh.engine import refresh_all, refresh_segments
from tests.support import oracle, shop
from tests.support.histories import History, Step, histories
from tests.support.oracle_arrivals import Arrived, Delivery
from tests.support.oracle_operators import Clock
from tests.support.shop_in_database import deliver, make_list
from tests.support.value_pools import ZONES

pytestmark = pytest.mark.django_db

RULES, MANY_RULES = 12, 32  # a history costs more than a rule
PARTS, PAIRS = 16, 20_000  # of a rule and a history
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


class Played:
    """A history that is played on the database and compared with the oracle after every refresh."""

    def __init__(self, history: History, zone: ZoneInfo) -> None:
        self.history, self.zone = history, zone
        self.arrived = Arrived()
        self.rules = dict(history.rules)
        self.members: dict[str, dict[str, datetime]] = {}
        # About whom something arrived since the last refresh of all segments, and since each segment's last refresh.
        self.about: set[str] = set()
        self.about_since: dict[str, set[str]] = {slug: set() for slug in self.rules}
        self.listed: set[str] = set()
        self.edited: set[str] = set(self.rules)
        self.log: dict[str, set[str]] = defaultdict(set)
        self.refreshed_at: dict[str, datetime] = {}
        self.last_change = 0
        self.behind: set[str] = set()

    def play(self) -> None:
        for number, step in enumerate(self.history.steps):
            for delivery in step.deliveries:
                self.take(delivery)
            if number == 0:
                self.begin()
            self.staff(step)
            self.refresh(step)
        shop.assert_facts_are_those_of_the_records()
        shop.assert_totals_are_those_of_the_facts()

    # What happens

    def take(self, delivery: Delivery) -> None:
        deliver(delivery)
        if delivery.facts_updated_at:
            update.update_facts(delivery.facts_updated_at)
        self.touched(self.arrived.take(delivery))

    def begin(self) -> None:
        for slug, members in self.history.lists.items():
            self.members[slug] = {key: at for key, at in members.items() if key in self.arrived.people}
            make_list(slug, self.members[slug])
        for slug, rule in self.rules.items():
            segment_store.save_segment(Segment(slug=slug, name=slug, rule=rule))

    def staff(self, step: Step) -> None:
        for slug, key, is_put_on in step.listed:
            if key in self.arrived.people:
                customer = Customer.objects.get(customer_id=key).pk
                act = fixed_lists.add_customers if is_put_on else fixed_lists.remove_customers
                act(Segment.objects.get(slug=slug), [customer], step.at)
                if is_put_on != (key in self.members[slug]):
                    self.listed.add(key)
                if is_put_on:
                    self.members[slug].setdefault(key, step.at)
                else:
                    self.members[slug].pop(key, None)
        for slug, rule in step.edits.items():
            self.edited |= {slug} if self.rules[slug] != rule else set()
            self.rules[slug] = rule
            segment = Segment.objects.get(slug=slug)
            segment.rule = rule
            segment_store.save_segment(segment)
        if step.paused:
            segment = Segment.objects.get(slug=step.paused)
            segment.is_active = not segment.is_active
            segment_store.save_segment(segment)

    def touched(self, keys: Iterable[str]) -> None:
        for about in (self.about, *self.about_since.values()):
            about.update(keys)

    # Refreshing, and what must hold then

    def refresh(self, step: Step) -> None:
        # What happened while a segment was left out is not known any more: its causes are a guess.
        behind = Segment.objects.filter(is_incremental=False, kind=Segment.Kind.DYNAMIC)
        self.behind = set(behind.values_list("slug", flat=True))
        with mock.patch.object(plan, "FULL_REFRESH_SHARE", self.history.everybody_from):
            match step.refreshed:
                case "all" | "twice" | "full":
                    _, outcomes = refresh_all(step.at, full=step.refreshed == "full")
                case slug:
                    _, outcomes = refresh_segments([Segment.objects.get(slug=slug)], step.at)
            assert [outcome.error for outcome in outcomes if outcome.error] == []
            self.look([outcome.segment.slug for outcome in outcomes], step)
            if step.refreshed not in self.rules:
                self.about.clear()
            if step.refreshed == "twice":
                _, again = refresh_all(step.at)
                assert {(one.entered, one.left, one.error) for one in again} <= {(0, 0, "")}

    def look(self, slugs: Sequence[str], step: Step) -> None:
        self.look_at_members(slugs, step.at)
        self.look_at_changes(step)
        assert all(one.is_correct for one in verification.verify(Segment.objects.filter(slug=step.verified)))
        for slug in slugs:
            self.about_since[slug].clear()
            self.refreshed_at[slug] = step.at
        self.edited -= set(slugs)

    def came_due(self, slug: str, at: datetime) -> set[str]:
        """Customers with a record dated between the last refresh of a segment and an instant."""
        since = self.refreshed_at.get(slug, at)
        return {
            person.key
            for person in self.past(at).shop.people
            if any(
                since < moment <= at
                for moment in (
                    person.met_at,
                    *(order.placed_at for order in person.orders),
                    *(event.occurred_at for event in person.events),
                )
            )
        }

    def look_at_members(self, slugs: Sequence[str], at: datetime) -> None:
        past = self.past(at)
        known = {person.key for person in past.shop.people if person.email or person.phone}
        stored = stored_members()
        for slug in slugs:
            if slug.startswith("n"):
                past = self.past(at)  # it asks for the members of those before
            right = oracle.evaluated(self.rules[slug], past)
            before = self.members.get(slug, {})
            self.members[slug] = {key: before.get(key, at) for key in right}
            assert stored[slug] == self.members[slug], (slug, self.rules[slug])
        sizes = Segment.objects.in_bulk(slugs, field_name="slug")
        for slug in slugs:
            segment, inside = sizes[slug], self.members[slug].keys()
            assert (segment.size, segment.known_size) == (len(inside), len(inside & known)), slug
            assert segment.refreshed_at == at

    def past(self, at: datetime) -> oracle.Past:
        asked = Segment.objects.filter(is_active=True, slug__in=self.rules).values_list("slug", flat=True)
        known = self.arrived.shop(self.members)
        known = replace(known, rules={slug: self.rules[slug] for slug in asked})
        return oracle.Past(known, Clock(at, self.zone))

    def look_at_changes(self, step: Step) -> None:
        new = Change.objects.filter(pk__gt=self.last_change, segment__kind=Segment.Kind.DYNAMIC).order_by(
            "pk"
        )
        due = {slug: self.came_due(slug, step.at) for slug in self.rules}
        due_anywhere = set[str]().union(*due.values())
        for pk, slug, key, change, cause, at in new.values_list(
            "pk", "segment__slug", "public_id", "change", "cause", "at"
        ):
            assert at == step.at
            assert (key in self.log[slug]) == (change == "left"), (slug, key, change)
            (self.log[slug].remove if change == "left" else self.log[slug].add)(key)
            if cause == "activity" and slug not in self.behind:
                # A change through another segment has the cause of that change.
                came_due = due_anywhere if slug.startswith("n") else due[slug]
                assert key in self.about | self.about_since[slug] | self.listed | came_due, (
                    slug,
                    key,
                    change,
                )
            if cause in ("time", "population"):
                assert key not in self.about & self.about_since[slug], (slug, key, change)
                assert key not in due[slug], (slug, key, change)
            self.last_change = pk
        stored = stored_members()
        assert {slug: stored[slug].keys() for slug in self.rules} == {
            slug: self.log[slug] for slug in self.rules
        }


def stored_members() -> Mapping[str, Mapping[str, datetime]]:
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    for slug, key, entered_at in Membership.objects.values_list(
        "segment__slug", "customer__customer_id", "entered_at"
    ):
        found[slug][key] = entered_at
    return found


def check(history: History, zone: ZoneInfo) -> None:
    with override_settings(TIME_ZONE=zone.key), transaction.atomic():
        Played(history, zone).play()
        transaction.set_rollback(True)


zones = st.sampled_from(ZONES)


@settings(slowly, max_examples=20)
@given(history=histories(RULES), zone=zones)
def test_refreshes_over_random_histories_leave_the_correct_members(history, zone):
    check(history, zone)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_refreshes_over_many_random_histories_leave_the_correct_members(part, record_property):
    ran = 0

    # Not derandomized, as Hypothesis is where it finds a CI: all parts would be the same.
    @settings(slowly, max_examples=-(-PAIRS // PARTS // MANY_RULES), derandomize=False)
    @given(history=histories(MANY_RULES), zone=zones)
    def law(history, zone):
        nonlocal ran
        check(history, zone)
        ran += MANY_RULES

    law()
    record_property("pairs of a rule and a history", ran)
    assert ran >= PAIRS // PARTS
