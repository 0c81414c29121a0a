"""The message editor: what its page has to know, and the requests that it sends while somebody writes.

The form of a step holds the message as JSON in a text area, which also works without JavaScript. The editor in
``static/campaigns/message-editor/`` is another view of the same text. Nothing here stores anything.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from campaigns.channels.base import Check
from campaigns.messages import block_fields, blocks, message_checks, rendering
from campaigns.messages.blocks import InvalidBlocks
from campaigns.messages.insertable_values import CONDITIONS, VALUES
from campaigns.messages.rendering import Preview
from campaigns.models import Campaign, CouponPool, Step
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from customers.admin import contact_data
from customers.models import Customer

from .. import access, page_context
from . import recipients, self_tests
from .recipients import SAMPLE_CODE

NOT_ALLOWED: Final = "You may not see contact data, so the message is not shown for a customer."
NO_CUSTOMER: Final = "There are no customers yet for whom the message could be shown."


def editor_knowledge(campaign: Campaign) -> dict[str, Any]:
    """Return what the script of the editor needs: kinds of blocks, values to insert, and where it sends requests."""
    return {
        "blocks": [asdict(kind) for kind in block_fields.block_kinds()],
        "values": [asdict(value) for value in VALUES],
        "conditions": CONDITIONS,
        "maxBlocks": blocks.MAX_BLOCKS,
        "urls": {
            name: reverse(f"admin:campaigns_campaign_message_{name}", args=[campaign.pk])
            for name in ("preview", "links", "test", "recipients")
        },
    }


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=WRITE_METHODS)
def preview_draft(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Return the message that is being written: as its customer would get it, its source, and what to mend."""
    draft = Draft(request, get_object_or_404(Campaign.objects.select_related("segment"), pk=pk))
    answer: dict[str, Any] = {
        "source": {"text": draft.step.text, "html": draft.step.html},
        "problems": [{"block": place, "text": text} for place, text in draft.problems],
    }
    if not recipients.may_see_messages(request):
        problems = rendering.problem_texts(draft.step)
        found = [Check(message_checks.MESSAGE, text, is_passed=False) for text in problems]
        return JsonResponse(answer | {"notice": NOT_ALLOWED, "checks": _as_json(found)})
    shown = draft.shown()
    if shown is None:
        return JsonResponse(answer | {"notice": NO_CUSTOMER, "checks": []})
    customer, preview = shown
    found = message_checks.checks(draft.step, preview)
    message = preview.message
    return JsonResponse(
        answer
        | {
            "customer": recipients.as_json(customer),
            "checks": _as_json(found),
            "message": message and asdict(message),
            "links": message_checks.message_links(message) if message else [],
        }
    )


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=WRITE_METHODS)
def check_links(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the shop for the pages that the message links to."""
    draft = Draft(request, get_object_or_404(Campaign.objects.select_related("segment"), pk=pk))
    shown = draft.shown() if recipients.may_see_messages(request) else None
    message = shown[1].message if shown else None
    return JsonResponse({"checks": _as_json(message_checks.link_checks(message) if message else [])})


@require_permissions(
    access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, *recipients.SEE_MESSAGES, methods=WRITE_METHODS
)
def send_draft(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Send the message that is being written to the user's own address."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    draft = Draft(request, campaign)
    shown = draft.shown()
    if shown is None:
        return JsonResponse({"is_sent": False, "text": NO_CUSTOMER})
    sent = self_tests.send_to_oneself(request, campaign, shown[1], "the message being written")
    return JsonResponse({"is_sent": sent.is_sent, "text": sent.text})


@require_permissions(access.VIEW_CAMPAIGN, *recipients.SEE_MESSAGES, methods=READ_METHODS)
def find_recipients(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Return customers for whom a message can be shown: those that match a search, else those who would get it."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    term = request.GET.get("q", "").strip()[:300]
    step = Step(campaign=campaign, number=1, channel=request.GET.get("channel", "")[:20])
    found = (
        recipients.search_customers(request, term)
        if term
        else recipients.likely_recipients(campaign, step, datetime.now(UTC))
    )
    return JsonResponse(
        {"customers": list(map(recipients.as_json, found)), "help": contact_data.search_help(request)}
    )


class Draft:
    """A message that is being written: the step that it would be, and the problems of its blocks by their place.

    Blocks with a problem are left out, so that the others can be seen.
    """

    def __init__(self, request: HttpRequest, campaign: Campaign) -> None:
        self.campaign, self._request = campaign, request
        sent = request.POST
        self.step = Step(
            campaign=campaign,
            number=1,
            **{name: sent.get(name, "") for name in ("channel", "subject", "text", "html", "url")},
        )
        self.problems: list[tuple[int | None, str]] = []
        self._read_blocks(sent.get("blocks", ""))
        self._set_pool(sent.get("pool", ""))
        page_context.fill_in_answers(campaign, [self.step])

    def shown(self) -> tuple[Customer, Preview] | None:
        """Return the message for the chosen customer, else for the first one who would get it."""
        at = datetime.now(UTC)
        if chosen := recipients.customer_by_key(self._request.POST.get("customer", "")):
            return chosen, rendering.preview(self.step, chosen, at, coupon=SAMPLE_CODE)
        return recipients.first_preview(self.campaign, self.step, at)

    def _read_blocks(self, source: str) -> None:
        try:
            written = json.loads(source or "[]") or []
        except (ValueError, RecursionError):
            self.problems.append((None, "The blocks are not valid JSON."))
            return
        if not written:
            return
        try:
            valid, problems = blocks.parse_each(written)
        except InvalidBlocks as error:
            self.problems += [(None, problem) for problem in error.problems]
            return
        self.problems += problems
        self.step.text, self.step.html = blocks.block_text(valid), blocks.block_html(valid)
        self.step.blocks = blocks.to_json(valid)

    def _set_pool(self, key: str) -> None:
        """Show what the codes of the chosen pool are worth. It is not saved."""
        number = recipients.key_from(key)
        self.campaign.pool = CouponPool.objects.filter(pk=number).first() if number else None


def _as_json(checks: Iterable[Check]) -> list[dict[str, Any]]:
    return [asdict(check) | {"is_passed": check.is_passed} for check in checks]
