"""Every page of the admin: the one list that tests, browsers, screenshots and the benchmark of pages go through."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from campaigns.models import Campaign, CouponPool
from core.models import ApiKey
from customers.models import Customer, Import, RefusedMessage, Source
from segments.models import Endpoint, Message, Refresh, Segment, Verification

MOST_QUERIES = 25
"""Of any page."""


@dataclass(frozen=True)
class Page:
    """One page: the name of its address, and whose page it is where there is one for each record or kind."""

    view: str
    of: Callable[[], QuerySet[Any]] | None = None
    query: Callable[[], str] = str
    slug: str = ""

    @property
    def address(self) -> str:
        """Give the page's address in the shop of the database."""
        return reverse(f"admin:{self.view}", args=self._arguments()) + self.query()

    def _arguments(self) -> list[Any]:
        return [self._record().pk] if self.of else [self.slug] if self.slug else []

    def _record(self) -> Model:
        assert self.of
        record: Model | None = self.of().first()
        if record is None:
            raise LookupError(f"no record to show {self.view} of")
        return record


def buyers() -> QuerySet[Customer]:
    return Customer.objects.existing().filter(facts__isnull=False).order_by("-facts__order_count", "pk")


def by_rule() -> QuerySet[Segment]:
    return Segment.objects.filter(kind=Segment.Kind.DYNAMIC).order_by("-size", "pk")


def by_time() -> QuerySet[Segment]:
    """The segment whose members time alone changes, if the shop has it."""
    lost = by_rule().filter(slug="lost")
    return lost if lost.exists() else by_rule()


def the_largest() -> str:
    return f"?segment={by_rule()[0].slug}"


def fixed_lists() -> QuerySet[Segment]:
    return Segment.objects.filter(kind=Segment.Kind.STATIC).order_by("-size", "pk")


def staff() -> QuerySet[User]:
    return User.objects.order_by("pk")


def started() -> QuerySet[Campaign]:
    return Campaign.objects.exclude(state=Campaign.State.DRAFT).order_by("pk")


def drafts() -> QuerySet[Campaign]:
    return Campaign.objects.filter(state=Campaign.State.DRAFT).order_by("pk")


PAGES = (
    Page("index"),
    Page("password_change"),
    Page("section", slug="system"),
    Page("customers_customer_changelist"),
    Page("customers_customer_change", buyers),
    Page("customers_customer_explain", buyers, the_largest),
    Page("customers_customer_live"),
    Page("customers_customer_people", slug="orders"),
    Page("customers_customer_erase", buyers),
    Page("customers_import_changelist"),
    Page("customers_import_add"),
    Page("customers_import_change", Import.objects.all),
    Page("customers_erasure_changelist"),
    Page("segments_segment_changelist"),
    Page("segments_segment_add"),
    Page("segments_segment_change", by_rule),
    Page("segments_segment_rule", by_rule),
    Page("segments_segment_changes", by_rule),
    Page("segments_segment_upcoming", by_time, lambda: "?within=30"),
    Page("segments_segment_versions", by_rule),
    Page("segments_segment_compare", by_rule),
    Page("segments_segment_delete", by_rule),
    Page("segments_segment_history", by_rule),
    Page("segments_segment_from_template"),
    Page("segments_segment_fixed_list"),
    Page("segments_segment_lifecycle"),
    Page("segments_segment_flow"),
    Page("segments_segment_retention"),
    Page("segments_segment_freeze", by_rule),
    Page("segments_segment_members", by_rule),
    Page("segments_segment_over_time", by_time),
    Page("segments_segment_members_add", fixed_lists),
    Page("segments_refresh_changelist"),
    Page("segments_refresh_change", Refresh.objects.all),
    Page("segments_verification_changelist"),
    Page("segments_verification_change", Verification.objects.all),
    Page("segments_endpoint_changelist"),
    Page("segments_endpoint_add"),
    Page("segments_endpoint_change", Endpoint.objects.all),
    Page("segments_endpoint_delete", Endpoint.objects.all),
    Page("segments_endpoint_replay", Endpoint.objects.all),
    Page("segments_message_changelist"),
    Page("segments_message_change", Message.objects.all),
    Page("campaigns_campaign_changelist"),
    Page("campaigns_campaign_add"),
    Page("campaigns_campaign_segment", by_rule),
    Page("campaigns_campaign_audience", by_rule),
    Page("campaigns_campaign_change", started),
    Page("campaigns_campaign_edit", drafts),
    Page("campaigns_campaign_preview", started),
    Page("campaigns_campaign_checks", drafts),
    Page("campaigns_campaign_forecast", started),
    Page("campaigns_campaign_deliveries", started),
    Page("campaigns_campaign_start", drafts),
    Page("campaigns_campaign_stop", started),
    Page("campaigns_campaign_discard", drafts),
    Page("campaigns_couponpool_changelist"),
    Page("campaigns_couponpool_add"),
    Page("campaigns_couponpool_change", CouponPool.objects.all),
    Page("campaigns_couponpool_fill", CouponPool.objects.all),
    Page("django_celery_beat_periodictask_changelist"),
    Page("django_celery_beat_periodictask_change", PeriodicTask.objects.all),
    Page("django_celery_beat_intervalschedule_changelist"),
    Page("django_celery_beat_intervalschedule_change", IntervalSchedule.objects.all),
    Page("django_celery_beat_crontabschedule_add"),
    Page("auth_user_changelist"),
    Page("auth_user_add"),
    Page("auth_user_change", staff),
    Page("auth_group_changelist"),
    Page("auth_group_change", Group.objects.all),
    Page("auth_group_delete", Group.objects.all),
    Page("admin_logentry_changelist"),
    Page("admin_logentry_change", LogEntry.objects.all),
    Page("axes_accessattempt_changelist"),
    Page("core_shopprofile_changelist"),
    Page("core_shopprofile_mail"),
    Page("core_apikey_changelist"),
    Page("core_apikey_add"),
    Page("core_apikey_change", ApiKey.objects.all),
    Page("customers_source_changelist"),
    Page("customers_source_add"),
    Page("customers_source_change", Source.objects.all),
    Page("customers_refusedmessage_changelist"),
    Page("customers_refusedmessage_change", RefusedMessage.objects.all),
    Page("customers_identitylink_changelist"),
    Page("customers_suppression_changelist"),
    Page("customers_suppression_add"),
)
