"""Tracking sources. A new write key is shown once, with instructions to use it."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display

from core.admin import audit_log
from core.admin.capped_lists import CappedListAdmin
from core.templatetags.display import moment, number
from customers.identity import unsigned_links
from customers.models import Source
from customers.tracking import sources

NEW_KEY_IN_SESSION: Final = "new_write_key"
PLACEHOLDER: Final = "YOUR_WRITE_KEY"
MAX_COUNTED: Final = 10_000


@admin.register(Source)
class SourceAdmin(CappedListAdmin):
    """The list of sources and the page of one."""

    list_display = ("name", "sends_from", "start", "created", "last_used", "bots_ignored", "state")
    list_before_template = "customers/admin/no_sources.html"
    change_form_outer_before_template = "customers/admin/source.html"
    fields = ("name", "kind", "messages_a_minute", "trusts_unsigned_ids")
    actions = ("revoke",)

    def get_readonly_fields(self, request: HttpRequest, obj: Source | None = None) -> tuple[str, ...]:
        """The kind cannot be changed: a key that browsers have shown cannot become a server's secret."""
        return ("kind",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Source | None = None) -> bool:
        """Sources are revoked, not deleted, because the messages they sent refer to them."""
        return False

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        """Create the key of a new source, and store it in the session for the next page."""
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            _, key = sources.create_source(obj)
            request.session[NEW_KEY_IN_SESSION] = [obj.pk, key]

    def response_add(self, request: HttpRequest, obj: Source, post_url_continue: str | None = None):
        """Redirect to the page that shows the key."""
        messages.success(request, f"{obj.name} can send messages now.")
        return redirect("admin:customers_source_change", obj.pk)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """Add instructions, and the key if it was just created."""
        source, key = self.get_object(request, object_id), ""
        if source and request.session.get(NEW_KEY_IN_SESSION, [None])[0] == source.pk:
            key = request.session.pop(NEW_KEY_IN_SESSION)[1]
        context = {
            "source": source,
            "key": key,
            "shown_key": key or PLACEHOLDER,
            "protocol": "https" if request.is_secure() else "http",
            "host": request.get_host(),
        }
        if source and source.is_browser:
            context |= _unlinked_context(source)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("customers.change_source")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            if source.revoked_at is None:
                sources.revoke_source(source)
                audit_log.log_changes(request, [source], "Revoked.")
            messages.success(request, f"{source.name} can no longer send messages.")

    @display(description="Sends from")
    def sends_from(self, source: Source) -> str:
        return "browser or app" if source.is_browser else "server"

    @display(description="Key starts with")
    def start(self, source: Source) -> str:
        return f"{source.prefix}…"

    @display(description="Created")
    def created(self, source: Source) -> str:
        return moment(source.created_at)

    @display(description="Last used")
    def last_used(self, source: Source) -> str:
        return moment(source.last_used_at) if source.last_used_at else "never"

    @display(description="Bot messages ignored")
    def bots_ignored(self, source: Source) -> str:
        return number(source.bots)

    @display(description="State", label={"active": "success", "revoked": "danger"})
    def state(self, source: Source) -> str:
        return "revoked" if source.revoked_at else "active"


def _unlinked_context(source: Source) -> dict[str, Any]:
    """Return the number of browsers whose customer id is not linked."""
    count = unsigned_links.count_unlinked_visitors(source.pk, MAX_COUNTED + 1)
    shown = f"More than {number(MAX_COUNTED)}" if count > MAX_COUNTED else number(count)
    return {"unlinked": count, "unlinked_shown": shown}
