"""API keys: which there are, when they were last used, and revoking them. ``create_key`` makes them."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from customers import keys
from customers.models import ApiKey
from customers.templatetags.shop import moment

from . import trail
from .lists import ReadOnlyAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """The list of keys."""

    list_display = ("name", "start", "allowed", "created", "last_used", "state")
    list_before_template = "customers/admin/no_api_keys.html"
    fields = ("name", "start", "allowed", "created", "last_used", "revoked")
    readonly_fields = fields
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may take a key's power."""
        return request.user.has_perm("customers.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Let the ticked keys open nothing from now on."""
        for key in queryset:
            if key.revoked_at is None:
                keys.revoke(key)
                trail.note_changed(request, [key], "Revoked.")
            messages.success(request, f"{key} opens nothing any more.")

    @display(description="Starts with")
    def start(self, key: ApiKey) -> str:
        """Show the start of the key, to tell it by."""
        return f"{key.prefix}…"

    @display(description="Scopes")
    def allowed(self, key: ApiKey) -> str:
        """Show what the key may do."""
        return ", ".join(key.scopes) or "none"

    @display(description="Created")
    def created(self, key: ApiKey) -> str:
        """Show when it was made."""
        return moment(key.created_at)

    @display(description="Last used")
    def last_used(self, key: ApiKey) -> str:
        """Show when it was last used."""
        return moment(key.last_used_at) if key.last_used_at else "never"

    @display(description="Revoked")
    def revoked(self, key: ApiKey) -> str:
        """Show when it was revoked."""
        return moment(key.revoked_at) if key.revoked_at else "no"

    @display(description="State", label={"active": "success", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        """Show whether it still opens the door."""
        return "revoked" if key.revoked_at else "active"
