"""Suppressed addresses, which get no messages. Staff can suppress addresses and lift suppressions."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from core.admin import audit_log
from core.admin.capped_lists import CappedListAdmin
from core.templatetags.display import moment
from core.values import email_addresses
from customers.consent import suppression
from customers.models import Suppression
from customers.privacy import masks

from . import contact_data


class SuppressionForm(forms.ModelForm):
    """The form to suppress an address."""

    email = forms.CharField(label="E-mail address", max_length=320, widget=UnfoldAdminEmailInputWidget)

    class Meta:
        """The form has no fields of the model: saving calls ``consent.suppress``."""

        model = Suppression
        fields = ()

    def clean_email(self) -> str:
        try:
            address = email_addresses.normalize_email(self.cleaned_data["email"])
        except email_addresses.InvalidEmail as error:
            raise forms.ValidationError(str(error)) from error
        if not address or suppression.is_suppressed(address):
            raise forms.ValidationError(
                "This address is already suppressed." if address else "Enter an e-mail address."
            )
        return address


@admin.register(Suppression)
class SuppressionAdmin(CappedListAdmin):
    """The list of suppressed addresses."""

    list_before_template = "customers/admin/suppressions.html"
    list_display = ("shown_address", "shown_reason", "since", "source")
    list_display_links = None
    list_filter = ("reason",)
    list_disable_select_all = False
    form = SuppressionForm
    fields = ("email",)
    actions = ("lift",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Suppression]:
        """Remember whether the rows show contact data."""
        self.hides = not contact_data.may_see(request)
        return super().get_queryset(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Suppressions are lifted, not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Suppressions are lifted, not deleted in Django's way."""
        return False

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("customers.delete_suppression")

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        address = form.cleaned_data["email"]
        suppression.suppress(address, datetime.now(UTC), reason=suppression.Reason.STAFF, source="staff")
        obj.pk = Suppression.objects.get(address=email_addresses.fold_email(address)).pk

    def response_add(
        self, request: HttpRequest, obj: Suppression, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Return to the list, because suppressions have no page of their own."""
        messages.success(request, "The address is suppressed and gets no more messages.")
        return redirect("admin:customers_suppression_changelist")

    def log_addition(self, request: HttpRequest, obj: Suppression, message: Any) -> None:
        """Write the audit log without the address."""
        audit_log.log_additions(request, [obj], "Suppressed an address.")

    @admin.action(description="Lift suppression: send messages again", permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        chosen = list(queryset)
        audit_log.log_deletions(request, chosen, "Lifted the suppression of an address.")
        for one in chosen:
            suppression.lift_suppression(one)
        messages.success(request, "The suppressions are lifted. Subscribed customers get messages again.")

    @display(description="Address")
    def shown_address(self, suppression: Suppression) -> str:
        if suppression.address is None:
            return "an erased address"
        return masks.mask_address(suppression.address) if self.hides else suppression.address

    @display(description="Reason")
    def shown_reason(self, suppression: Suppression) -> str:
        reason = suppression.get_reason_display()
        if suppression.detail:
            reason += (
                f" ({contact_data.redact_text(suppression.detail) if self.hides else suppression.detail})"
            )
        return reason

    @display(description="Since")
    def since(self, suppression: Suppression) -> str:
        return moment(suppression.at)
