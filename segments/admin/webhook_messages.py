"""What webhooks were told, and what they answered. ``segments.webhooks`` writes it."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.decorators import display

from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment, number
from customers.admin import contact_data
from segments.models import Attempt, Change, Endpoint, Message
from segments.webhooks import leases, payload

STATE_LABELS = {"waiting": "info", "delivered": "success", "given up": "danger"}
NO_CONTENT = "It names nobody any more: the customer was erased, or the change is no longer kept."


class EndpointFilter(admin.SimpleListFilter):
    """Who was told."""

    title = "webhook"
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer all."""
        return [(str(endpoint.pk), endpoint.name) for endpoint in Endpoint.objects.all()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Keep the chosen."""
        value = self.value() or ""
        is_key = value.isascii() and value.isdigit() and len(value) < 19
        return queryset.filter(endpoint=int(value)) if is_key else queryset


class StateFilter(admin.SimpleListFilter):
    """How far they are."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every state."""
        return [(str(value), str(value).capitalize()) for value in Message.State.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        """Keep the chosen."""
        return queryset.filter(state=self.value()) if self.value() in Message.State.values else queryset


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """The list of messages, the latest first, and the page of one."""

    list_display = ("written", "told", "what", "in_segment", "about", "how_far", "tries_", "answered")
    list_filter = (EndpointFilter, StateFilter)
    list_select_related = ("endpoint", "segment")
    list_before_template = "segments/admin/no_messages.html"
    fields = ("written_at",)
    change_form_template = "segments/admin/message.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Add whom it is about and the latest answer: asked for the rows of a page only."""
        self.request = request
        latest = Attempt.objects.filter(message=OuterRef("pk")).order_by("-pk")
        named = Change.objects.filter(pk=OuterRef("first_id"), segment=OuterRef("segment"))
        return (
            super()
            .get_queryset(request)
            .annotate(
                latest_status=Subquery(latest.values("status")[:1]),
                latest_problem=Subquery(latest.values("problem")[:1]),
                customer_public_id=Subquery(named.values("public_id")[:1]),
            )
        )

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Message | None = None, **kwargs: Any
    ):
        """Add what is sent, and every answer: what names a customer to those who may see contact data."""
        assert obj is not None
        may_see = contact_data.may_see(request)
        attempts = list(obj.attempts.all())
        for attempt in attempts:
            if attempt.answer and not may_see:  # what somebody else wrote may name anybody
                attempt.answer = contact_data.HIDDEN
        context |= {
            "message": obj,
            "label": STATE_LABELS[obj.state],
            "body": _formatted_payload(request, obj),
            "attempts": attempts,
            "may_manage": request.user.has_perm("segments.change_endpoint"),
        }
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @display(description="Written")
    def written(self, message: Message) -> str:
        """Show when the message was written."""
        return moment(message.written_at)

    @display(description="Webhook")
    def told(self, message: Message) -> str:
        """Show who is told."""
        return message.endpoint.name

    @display(description="What")
    def what(self, message: Message) -> str:
        """Show what happened."""
        return message.get_kind_display()

    @display(description="Segment")
    def in_segment(self, message: Message) -> str:
        """Show where."""
        return message.segment.name if message.segment else "–"

    @display(description="Customer")
    def about(self, message: Any) -> str:
        """Show whom it is about, by the id."""
        if message.kind not in (Message.Kind.ENTERED, Message.Kind.LEFT):
            return "–"
        return contact_data.visible_id(self.request, message.customer_public_id or "nobody any more")

    @display(description="State", label=STATE_LABELS)
    def how_far(self, message: Message) -> str:
        """Show how far it is."""
        return message.state

    @display(description="Tries")
    def tries_(self, message: Message) -> str:
        """Show how often it was sent."""
        return number(message.tries)

    @display(description="Latest answer")
    def answered(self, message: Any) -> str:
        """Show the latest answer's status, or why there was none."""
        return str(message.latest_status or message.latest_problem or "–")


def _formatted_payload(request: HttpRequest, message: Message) -> str:
    """Lay out what is sent, for reading."""
    body = payload.build_payload(message, leases.changes_of_messages([message]).get(message.first_id or 0))
    if not body:
        return NO_CONTENT
    said = json.loads(body)
    if "customer_id" in said["data"]:
        said["data"]["customer_id"] = contact_data.visible_id(request, said["data"]["customer_id"])
    return json.dumps(said, indent=2, ensure_ascii=False)
