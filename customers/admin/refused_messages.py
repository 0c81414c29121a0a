"""Refused messages: the reason of each, and an action to try them again."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from core.admin import audit_log
from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment
from customers.models import RefusedMessage
from customers.tracking import inbox

from . import contact_data


@admin.register(RefusedMessage)
class RefusedMessageAdmin(ReadOnlyAdmin):
    """The list of refused messages and the page of one."""

    list_display = ("received", "source", "why")
    list_display_links = ("received", "why")
    list_select_related = ("source",)
    list_before_template = "customers/admin/no_refused.html"
    fields = ("received", "source", "why", "message_id")
    readonly_fields = fields
    change_form_after_template = "customers/admin/refused.html"
    actions = ("try_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefusedMessage]:
        """Remember whether the rows show contact data."""
        self.hides = not contact_data.may_see(request)
        return super().get_queryset(request)

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: RefusedMessage | None = None, **kwargs: Any
    ):
        assert obj is not None
        context |= {"sent": _visible_message(request, obj.message)}
        return super().render_change_form(request, context, obj=obj, **kwargs)

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("customers.change_refusedmessage")

    @admin.action(description="Try again", permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[RefusedMessage]) -> None:
        chosen = list(queryset)
        audit_log.log_changes(request, chosen, "Tried again.")
        cut = inbox.retry_refused(chosen)
        if len(chosen) > cut:
            messages.success(
                request,
                "The messages are being processed again. Those that are still invalid will be listed here again.",
            )
        if cut:
            messages.warning(
                request,
                f"{cut} of the messages are too long: they are not stored completely and cannot be tried again.",
            )

    @display(description="Received")
    def received(self, refused: RefusedMessage) -> str:
        return moment(refused.received_at)

    @display(description="Reason")
    def why(self, refused: RefusedMessage) -> str:
        return contact_data.redact_text(refused.reason) if self.hides else refused.reason


def _visible_message(request: HttpRequest, message: str) -> str:
    try:
        value = json.loads(message)
    except ValueError:  # too long, so it is not stored completely
        return message if contact_data.may_see(request) else contact_data.HIDDEN
    return json.dumps(contact_data.visible_properties(request, value), indent=2, ensure_ascii=False)
