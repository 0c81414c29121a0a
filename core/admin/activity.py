"""Activity: who of the staff changed what, and when. ``core.admin.audit_log`` and the admin's forms write it."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.decorators import display

from core.templatetags.display import moment

from .capped_lists import ReadOnlyAdmin
from .display_names import DisplayNameAdmin

ACTIONS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


class PersonFilter(admin.SimpleListFilter):
    """Who did it: those who ever did something."""

    title = "person"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the staff."""
        staff = User.objects.filter(logentry__isnull=False).distinct().order_by("username")
        return [(str(user.pk), user.get_full_name() or user.username) for user in staff]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        """Keep the chosen."""
        value = self.value() or ""
        return queryset.filter(user=int(value)) if value.isascii() and value.isdigit() else queryset


class ContentTypeFilter(admin.SimpleListFilter):
    """What kind of thing it was done to."""

    title = "kind of thing"
    parameter_name = "to"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the kinds there are entries of."""
        kinds = ContentType.objects.filter(logentry__isnull=False).distinct()
        return sorted(((str(kind.pk), kind.name.capitalize()) for kind in kinds), key=lambda one: one[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        """Keep the chosen."""
        value = self.value() or ""
        return queryset.filter(content_type=int(value)) if value.isascii() and value.isdigit() else queryset


class ActionFilter(admin.SimpleListFilter):
    """What was done."""

    title = "what was done"
    parameter_name = "did"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer all three."""
        return [(deed, deed.capitalize()) for deed in ACTIONS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        """Keep the chosen."""
        flags = [flag for flag, deed in ACTIONS.items() if deed == self.value()]
        return queryset.filter(action_flag__in=flags) if flags else queryset


@admin.register(LogEntry)
class ActivityAdmin(DisplayNameAdmin, ReadOnlyAdmin):
    """The list of what was done, the latest first, and the page of one deed."""

    called = ("entry", "activity")
    list_display = ("at", "person", "deed", "thing", "told")
    list_filter = (PersonFilter, ContentTypeFilter, ActionFilter, ("action_time", admin.DateFieldListFilter))
    list_select_related = ("user", "content_type")
    list_per_page = 50
    list_before_template = "core/admin/no_activity.html"
    search_fields = ("object_repr",)
    search_help_text = "Part of the name of a segment, a key, a person …"
    fields = ("at", "person", "deed", "thing", "details")
    readonly_fields = fields

    @display(description="When")
    def at(self, entry: LogEntry) -> str:
        """Show when it was done."""
        return moment(entry.action_time)

    @display(description="Who")
    def person(self, entry: LogEntry) -> str:
        """Show who did it."""
        return entry.user.get_full_name() or entry.user.get_username()

    @display(description="Did", label={"added": "success", "changed": "info", "deleted": "danger"})
    def deed(self, entry: LogEntry) -> str:
        """Show whether something was added, changed or deleted."""
        return ACTIONS[entry.action_flag]

    @display(description="To what")
    def thing(self, entry: LogEntry) -> str:
        """Show what it was done to, with the way there where it may still be there."""
        kind = entry.content_type.name.capitalize() if entry.content_type else ""
        name = entry.object_repr
        # An id that is no number leads to no page of ours, and may be anything.
        has_page = entry.action_flag != DELETION and (entry.object_id or "").isdigit()
        if has_page and (address := entry.get_admin_url()):
            name = format_html('<a class="link" href="{}">{}</a>', address, name)
        return format_html('<span class="stacked"><span>{}</span><small>{}</small></span>', name, kind)

    @display(description="What exactly")
    def told(self, entry: LogEntry) -> str:
        """Say what was done, shortened where it is long."""
        return Truncator(entry.get_change_message()).chars(200)

    @display(description="What exactly")
    def details(self, entry: LogEntry) -> str:
        """Say what was done."""
        return entry.get_change_message() or "–"
