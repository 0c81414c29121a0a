"""API keys. They are created here or by ``create_key``, and their secret is shown once."""

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

# The endpoint to try a new key of a scope with.
READABLE = {"segments:read": "segments/", "members:read": "customers/"}


class NetworksField(forms.CharField):
    """Networks, one per line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class ApiKeyForm(forms.ModelForm):
    networks = NetworksField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="The key works only in these networks. One per line, such as 192.0.2.0/24 or"
        " 2001:db8::/32. Leave it empty to allow every address.",
    )

    class Meta:
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
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in keys.SCOPES.items()],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta(ApiKeyForm.Meta):
        fields: tuple[str, ...] = ("name", "scopes", "expires_at", "networks")


@admin.register(ApiKey)
class ApiKeyAdmin(CappedListAdmin):
    list_display = ("name", "start", "allowed", "places", "created", "last_used", "expires", "state")
    list_before_template = "core/admin/no_api_keys.html"
    actions = ("revoke",)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any):
        """Return a form with scopes only for a new key: scopes never change."""
        return super().get_form(
            request, obj, change, **{**kwargs, "form": ApiKeyForm if obj else NewApiKeyForm}
        )

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        if obj is None:
            return NewApiKeyForm.Meta.fields
        return ("name", "start", "allowed", "expires_at", "networks", "created", "last_used", "revoked")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("start", "allowed", "created", "last_used", "revoked") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keys are revoked, never deleted, so that it stays known who used which key."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Save through the only writer. The secret of a new key exists only during this request."""
        if change:
            keys.update_key(obj)
        else:
            request.new_secret = keys.issue_key(obj)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in this response, whichever button was pressed: it is not stored."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The key was created",
            "opts": self.opts,
            "original": obj,
            "key": obj,
            "secret": request.new_secret,  # type: ignore[attr-defined]
            "is_public": keys.VISITORS_SCOPE in obj.scopes,
            "api": request.build_absolute_uri("/api/v1/"),
            "readable": next((READABLE[scope] for scope in obj.scopes if scope in READABLE), ""),
        }
        response = TemplateResponse(request, "core/admin/api_key_created.html", context)
        add_never_cache_headers(response)
        return response

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("core.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            if key.revoked_at is None:
                keys.revoke_key(key)
                audit_log.log_changes(request, [key], "Revoked.")
            messages.success(request, f"{key} was revoked and no longer works.")

    @display(description="Starts with")
    def start(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @display(description="Scopes")
    def allowed(self, key: ApiKey) -> str:
        return ", ".join(key.scopes) or "none"

    @display(description="Allowed from")
    def places(self, key: ApiKey) -> str:
        return ", ".join(key.networks) or "anywhere"

    @display(description="Expires")
    def expires(self, key: ApiKey) -> str:
        return moment(key.expires_at) if key.expires_at else "never"

    @display(description="Created")
    def created(self, key: ApiKey) -> str:
        return moment(key.created_at)

    @display(description="Last used")
    def last_used(self, key: ApiKey) -> str:
        return moment(key.last_used_at) if key.last_used_at else "never"

    @display(description="Revoked")
    def revoked(self, key: ApiKey) -> str:
        return moment(key.revoked_at) if key.revoked_at else "no"

    @display(description="State", label={"active": "success", "expired": "warning", "revoked": "danger"})
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "revoked"
        return "expired" if key.has_expired(datetime.now(UTC)) else "active"
