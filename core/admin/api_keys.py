"""API keys: made here or by ``create_key``, shown once, edited, revoked; when they were last used."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from core.api import keys
from core.models import ApiKey
from core.templatetags.display import moment

from . import audit_log
from .capped_lists import CappedListAdmin

# What a new key of a scope can be tried out with.
READABLE = {"segments:read": "segments/", "members:read": "customers/"}


class NetworksField(forms.CharField):
    """Networks, one a line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Lay the stored ones out; what somebody typed stays as typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Take the lines apart."""
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare networks, not their layout."""
        return bool((initial or []) != self.to_python(data))


class ApiKeyForm(forms.ModelForm):
    """What staff decide of a key."""

    networks = NetworksField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="The key opens nothing to clients elsewhere. One a line, such as 192.0.2.0/24 or"
        " 2001:db8::/32; empty for anywhere.",
    )

    class Meta:
        """What can be edited later, too."""

        model = ApiKey
        fields: tuple[str, ...] = ("name", "expires_at", "networks")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                keys.validate_key(self.instance, datetime.now(UTC))
            except ValidationError as error:
                self.add_error(None, error)


class NewApiKeyForm(ApiKeyForm):
    """A new key, and what it opens."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in keys.SCOPES.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta(ApiKeyForm.Meta):
        """With the scopes, which stay."""

        fields: tuple[str, ...] = ("name", "scopes", "expires_at", "networks")


@admin.register(ApiKey)
class ApiKeyAdmin(CappedListAdmin):
    """The list of keys, and the page of one."""

    list_display = ("name", "start", "allowed", "places", "created", "last_used", "expires", "state")
    list_before_template = "customers/admin/no_api_keys.html"
    actions = ("revoke",)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any):
        """Ask for scopes once: what a key opens is settled when it is made."""
        return super().get_form(
            request, obj, change, **{**kwargs, "form": ApiKeyForm if obj else NewApiKeyForm}
        )

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Show of a key also what nobody edits."""
        if obj is None:
            return NewApiKeyForm.Meta.fields
        return ("name", "start", "allowed", "expires_at", "networks", "created", "last_used", "revoked")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """Keep what nobody edits."""
        return ("start", "allowed", "created", "last_used", "revoked") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody deletes: who asked under which key can be told later, too."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Save through the only writer; the secret of a new key lives as long as this request."""
        if change:
            keys.update_key(obj)
        else:
            request.new_secret = keys.issue_key(obj)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in the answer itself, whichever button was pressed: it is kept nowhere."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The key is made",
            "opts": self.opts,
            "original": obj,
            "key": obj,
            "secret": request.new_secret,  # type: ignore[attr-defined]
            "is_public": keys.VISITORS_SCOPE in obj.scopes,
            "api": request.build_absolute_uri("/api/v1/"),
            "readable": next((READABLE[scope] for scope in obj.scopes if scope in READABLE), ""),
        }
        response = TemplateResponse(request, "customers/admin/api_key_made.html", context)
        add_never_cache_headers(response)
        return response

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may take a key's power."""
        return request.user.has_perm("core.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Let the ticked keys open nothing from now on."""
        for key in queryset:
            if key.revoked_at is None:
                keys.revoke_key(key)
                audit_log.log_changes(request, [key], "Revoked.")
            messages.success(request, f"{key} opens nothing any more.")

    @display(description="Starts with")
    def start(self, key: ApiKey) -> str:
        """Show the start of the key, to tell it by."""
        return f"{key.prefix}…"

    @display(description="Scopes")
    def allowed(self, key: ApiKey) -> str:
        """Show what the key may do."""
        return ", ".join(key.scopes) or "none"

    @display(description="From")
    def places(self, key: ApiKey) -> str:
        """Show from where it may be used."""
        return ", ".join(key.networks) or "anywhere"

    @display(description="Expires")
    def expires(self, key: ApiKey) -> str:
        """Show when it ends by itself."""
        return moment(key.expires_at) if key.expires_at else "never"

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

    @display(description="State", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        """Show whether it still opens the door."""
        if key.revoked_at:
            return "revoked"
        return "expired" if key.has_expired(datetime.now(UTC)) else "active"
