"""What waits for a person, such as paused campaigns, failing segments and refused rows of imports."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from campaigns.admin import access
from campaigns.models import Campaign, Step
from core.templatetags.display import moment
from customers.models import Import
from segments import health
from segments.admin.access import CHANGE_SEGMENT
from segments.admin.texts import count_text
from segments.models import Segment

VIEW_ENDPOINT: Final = "segments.view_endpoint"
VIEW_IMPORT: Final = "customers.view_import"
MAX_OF_A_KIND: Final = 5
RECENT_IMPORTS: Final = timedelta(days=7)


@dataclass(frozen=True)
class WaitingItem:
    """Something that a person has to do: what it is, and the page where it is done."""

    text: str
    button: str
    url: str
    since: str = ""


def waiting_items(request: HttpRequest, segments: Sequence[Segment], now: datetime) -> list[WaitingItem]:
    """Return what waits and the person may see, the most pressing first."""
    kinds: tuple[tuple[str, Callable[[], Iterator[WaitingItem]]], ...] = (
        (access.VIEW_CAMPAIGN, _paused_campaigns),
        (CHANGE_SEGMENT, lambda: _failing_segments(segments)),
        (VIEW_ENDPOINT, lambda: _failing_webhooks(now)),
        (VIEW_IMPORT, lambda: _imports(now)),
        (access.CHANGE_CAMPAIGN, _unconverted_messages),
        (access.CHANGE_CAMPAIGN, _drafts),
    )
    return [item for permission, find in kinds if request.user.has_perm(permission) for item in find()]


def _paused_campaigns() -> Iterator[WaitingItem]:
    for campaign in Campaign.objects.filter(state=Campaign.State.PAUSED)[:MAX_OF_A_KIND]:
        yield WaitingItem(
            f"The campaign “{campaign.name}” is paused and sends nothing.",
            "Open it",
            reverse("admin:campaigns_campaign_change", args=[campaign.pk]),
        )


def _failing_segments(segments: Sequence[Segment]) -> Iterator[WaitingItem]:
    failing = [segment for segment in segments if segment.status == Segment.Status.FAILING]
    for segment in failing[:MAX_OF_A_KIND]:
        yield WaitingItem(
            f"The segment “{segment.name}” cannot be refreshed: {segment.last_error[:200]}",
            "Correct the rule",
            reverse("admin:segments_segment_rule", args=[segment.pk]),
            moment(segment.failing_since),
        )


def _failing_webhooks(now: datetime) -> Iterator[WaitingItem]:
    for endpoint in health.troubled_endpoints(now)[:MAX_OF_A_KIND]:
        url = reverse("admin:segments_endpoint_change", args=[endpoint.pk])
        if endpoint.is_active:
            text = f"The webhook “{endpoint.name}” cannot be delivered."
            yield WaitingItem(text, "See why", url, moment(endpoint.failing_since))
        else:
            text = f"The webhook “{endpoint.name}” was stopped. {endpoint.stop_reason}"
            yield WaitingItem(text, "See why", url, moment(endpoint.stopped_at))


def _imports(now: datetime) -> Iterator[WaitingItem]:
    recent = Import.objects.filter(
        Q(state=Import.State.UPLOADED)
        | Q(state=Import.State.FAILED)
        | Q(state=Import.State.DONE, refused__gt=0),
        uploaded_at__gt=now - RECENT_IMPORTS,
    )
    for imported in recent[:MAX_OF_A_KIND]:
        url = reverse("admin:customers_import_change", args=[imported.pk])
        if imported.state == Import.State.UPLOADED:
            yield WaitingItem(
                f"The file “{imported.name}” was uploaded, and its import not started.", "Go on", url
            )
        elif imported.state == Import.State.FAILED:
            yield WaitingItem(f"The import of “{imported.name}” failed.", "See why", url)
        else:
            verb = "was" if imported.refused == 1 else "were"
            text = f"Import “{imported.name}”: {count_text(imported.refused, 'row')} {verb} refused."
            yield WaitingItem(text, "Correct them", url)


def _unconverted_messages() -> Iterator[WaitingItem]:
    steps = Step.objects.exclude(not_converted="").select_related("campaign")
    ended = (Campaign.State.STOPPED, Campaign.State.DONE)
    for step in steps.exclude(campaign__state__in=ended).order_by("campaign_id", "number")[:MAX_OF_A_KIND]:
        yield WaitingItem(
            f"Message {step.number} of “{step.campaign.name}” is not sent until it is edited.",
            "Edit it",
            reverse("admin:campaigns_campaign_edit", args=[step.campaign_id]),
        )


def _drafts() -> Iterator[WaitingItem]:
    drafts = list(Campaign.objects.filter(state=Campaign.State.DRAFT)[:2])
    if len(drafts) == 1:
        [draft] = drafts
        url = reverse("admin:campaigns_campaign_change", args=[draft.pk])
        yield WaitingItem(f"The campaign “{draft.name}” is a draft.", "Finish it", url)
    elif drafts:
        count = Campaign.objects.filter(state=Campaign.State.DRAFT).count()
        url = f"{reverse('admin:campaigns_campaign_changelist')}?state=draft"
        yield WaitingItem(f"{count_text(count, 'campaign')} are drafts.", "See them", url)
