"""The admin of webhook messages, with the responses of the endpoints."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.decorators import display

from core.admin.capped_lists import CappedChangeList, ReadOnlyAdmin
from core.templatetags.display import moment, number
from customers.admin import contact_data
from segments.models import Attempt, Endpoint, Message
from segments.webhooks import leases, payload

STATE_LABELS = {"waiting": "info", "delivered": "success", "given up": "danger"}
NO_CONTENT = "This message has no content any more: the customer was erased, or the change was deleted."


class EndpointFilter(admin.SimpleListFilter):
    title = "webhook"
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(endpoint.pk), endpoint.name) for endpoint in Endpoint.objects.all()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        value = self.value() or ""
        is_key = value.isascii() and value.isdigit() and len(value) < 19
        return queryset.filter(endpoint=int(value)) if is_key else queryset


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(value).capitalize()) for value in Message.State.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        return queryset.filter(state=self.value()) if self.value() in Message.State.values else queryset


class MessageList(CappedChangeList):
    """A page of messages with their customers, who may be stored elsewhere."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        keys = {message.customer_id for message in self.result_list if message.customer_id}
        customers = contact_data.customers_by_key(request, keys)
        for message in self.result_list:
            message.customer = customers.get(message.customer_id)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """The list of messages, the latest first, and the page of a message."""

    list_display = (
        "written",
        "webhook",
        "kind_",
        "segment_",
        "customer_",
        "state_",
        "attempts_",
        "latest_response",
    )
    list_filter = (EndpointFilter, StateFilter)
    list_select_related = ("endpoint", "segment")
    list_before_template = "segments/admin/no_messages.html"
    fields = ("written_at",)
    change_form_template = "segments/admin/message.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        """Add the latest response. The sub-selects run only for the rows of the page."""
        latest = Attempt.objects.filter(message=OuterRef("pk")).order_by("-pk")
        return (
            super()
            .get_queryset(request)
            .annotate(
                latest_status=Subquery(latest.values("status")[:1]),
                latest_problem=Subquery(latest.values("problem")[:1]),
            )
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[MessageList]:
        return MessageList

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Message | None = None, **kwargs: Any
    ):
        """Add the payload and the responses, with contact data only for staff who may see it."""
        assert obj is not None
        may_see = contact_data.may_see(request)
        attempts = list(obj.attempts.all())
        for attempt in attempts:
            if attempt.response_text and not may_see:  # another system's text may contain contact data
                attempt.response_text = contact_data.HIDDEN
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
        return moment(message.written_at)

    @display(description="Webhook")
    def webhook(self, message: Message) -> str:
        return message.endpoint.name

    @display(description="What")
    def kind_(self, message: Message) -> str:
        return message.get_kind_display()

    @display(description="Segment")
    def segment_(self, message: Message) -> str:
        return message.segment.name if message.segment else "–"

    @display(description="Customer")
    def customer_(self, message: Message) -> str:
        if message.kind not in (Message.Kind.ENTERED, Message.Kind.LEFT):
            return "–"
        return message.customer.name if message.customer else "erased"

    @display(description="State", label=STATE_LABELS)
    def state_(self, message: Message) -> str:
        return message.state

    @display(description="Attempts")
    def attempts_(self, message: Message) -> str:
        return number(message.attempt_count)

    @display(description="Latest response")
    def latest_response(self, message: Any) -> str:
        return str(message.latest_status or message.latest_problem or "–")


def _formatted_payload(request: HttpRequest, message: Message) -> str:
    """Return the payload, indented."""
    body = payload.build_payload(message, leases.changes_of_messages([message]).get(message.first_id or 0))
    if not body:
        return NO_CONTENT
    content = json.loads(body)
    if "customer_id" in content["data"]:
        content["data"]["customer_id"] = contact_data.visible_id(request, content["data"]["customer_id"])
    return json.dumps(content, indent=2, ensure_ascii=False)
