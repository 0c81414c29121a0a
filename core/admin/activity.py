"""Activity: the audit log. ``core.admin.audit_log`` and the admin's forms write it."""

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
    title = "person"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the staff with entries."""
        staff = User.objects.filter(logentry__isnull=False).distinct().order_by("username")
        return [(str(user.pk), user.get_full_name() or user.username) for user in staff]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        value = self.value() or ""
        return queryset.filter(user=int(value)) if value.isascii() and value.isdigit() else queryset


class ContentTypeFilter(admin.SimpleListFilter):
    title = "type"
    parameter_name = "to"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the types with entries."""
        kinds = ContentType.objects.filter(logentry__isnull=False).distinct()
        return sorted(
            ((str(kind.pk), kind.name.capitalize()) for kind in kinds), key=lambda choice: choice[1]
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        value = self.value() or ""
        return queryset.filter(content_type=int(value)) if value.isascii() and value.isdigit() else queryset


class ActionFilter(admin.SimpleListFilter):
    title = "action"
    parameter_name = "did"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(action, action.capitalize()) for action in ACTIONS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:
        flags = [flag for flag, action in ACTIONS.items() if action == self.value()]
        return queryset.filter(action_flag__in=flags) if flags else queryset


@admin.register(LogEntry)
class ActivityAdmin(DisplayNameAdmin, ReadOnlyAdmin):
    """The audit log."""

    display_names = ("entry", "activity")
    list_display = ("at", "person", "action", "target", "summary")
    list_filter = (PersonFilter, ContentTypeFilter, ActionFilter, ("action_time", admin.DateFieldListFilter))
    list_select_related = ("user", "content_type")
    list_per_page = 50
    list_before_template = "core/admin/no_activity.html"
    search_fields = ("object_repr",)
    search_help_text = "Part of the name of a segment, a key, a person …"
    fields = ("at", "person", "action", "target", "details")
    readonly_fields = fields

    @display(description="When")
    def at(self, entry: LogEntry) -> str:
        return moment(entry.action_time)

    @display(description="Who")
    def person(self, entry: LogEntry) -> str:
        return entry.user.get_full_name() or entry.user.get_username()

    @display(description="Action", label={"added": "success", "changed": "info", "deleted": "danger"})
    def action(self, entry: LogEntry) -> str:
        return ACTIONS[entry.action_flag]

    @display(description="Object")
    def target(self, entry: LogEntry) -> str:
        """Return the object, with a link if it may still exist."""
        kind = entry.content_type.name.capitalize() if entry.content_type else ""
        name = entry.object_repr
        # No page of ours has an id that is not a number.
        has_page = entry.action_flag != DELETION and (entry.object_id or "").isdigit()
        if has_page and (address := entry.get_admin_url()):
            name = format_html('<a class="link" href="{}">{}</a>', address, name)
        return format_html('<span class="stacked"><span>{}</span><small>{}</small></span>', name, kind)

    @display(description="Details")
    def summary(self, entry: LogEntry) -> str:
        return Truncator(entry.get_change_message()).chars(200)

    @display(description="Details")
    def details(self, entry: LogEntry) -> str:
        return entry.get_change_message() or "–"
