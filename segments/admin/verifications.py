"""The admin of verifications: whether the stored members were exactly right."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment, number
from customers.admin import contact_data
from segments.models import Verification

STATE_LABELS = {
    "right": "success",
    "different": "danger",
    "failed": "danger",
    "running": "info",
    "nobody": "warning",
}
STATE_TEXTS = {"nobody": "compared nobody"}


@admin.register(Verification)
class VerificationAdmin(ReadOnlyAdmin):
    """The list of verifications and the page of a verification."""

    list_display = ("started", "ended", "segments_compared", "members_compared", "skipped")
    list_before_template = "segments/admin/no_verifications.html"
    fields = ("started_at",)
    change_form_template = "segments/admin/verification.html"

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Verification | None = None, **kwargs: Any
    ):
        """Add the differences."""
        assert obj is not None
        for segment in obj.details:
            for which in ("missing", "extra"):
                if which in segment:
                    segment[which] = [contact_data.visible_id(request, printed) for printed in segment[which]]
        context |= {
            "verification": obj,
            "label": STATE_LABELS[obj.state],
            "outcome": STATE_TEXTS.get(obj.state, obj.state),
        }
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @display(description="Started")
    def started(self, verification: Verification) -> str:
        return moment(verification.started_at)

    @display(description="Outcome", label=STATE_LABELS)
    def ended(self, verification: Verification) -> tuple[str, str]:
        return verification.state, STATE_TEXTS.get(verification.state, verification.state)

    @display(description="Segments")
    def segments_compared(self, verification: Verification) -> str:
        return number(verification.segments)

    @display(description="Members")
    def members_compared(self, verification: Verification) -> str:
        return number(verification.members)

    @display(description="Skipped")
    def skipped(self, verification: Verification) -> str:
        """Show how many customers were skipped because the next refresh will look at them."""
        return number(verification.waiting)
