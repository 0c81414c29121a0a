"""Identity conflicts: ids that were said to be one person, of customers who have different customer ids."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from customers.models import Claim, Identity
from customers.templatetags.shop import moment

from . import contact
from .lists import ReadOnlyAdmin


@admin.register(Claim)
class ConflictAdmin(ReadOnlyAdmin):
    """The list of conflicts; the customers are a click away."""

    list_display = ("claimed", "first", "second")
    list_display_links = None
    fields = list_display
    readonly_fields = list_display
    list_select_related = ("one__customer", "other__customer")
    list_before_template = "customers/admin/conflicts.html"
    ordering = ("-at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Claim]:
        """Keep the claims that were refused."""
        self.request = request
        return super().get_queryset(request).filter(is_refused=True)

    @display(description="Said")
    def claimed(self, claim: Claim) -> str:
        """Show when it was said."""
        return moment(claim.at) if claim.message_id else "by a file"

    @display(description="This id")
    def first(self, claim: Claim) -> str:
        """Show one id, and whose it is."""
        return self._shown(claim.one)

    @display(description="and this one")
    def second(self, claim: Claim) -> str:
        """Show the other id, and whose it is."""
        return self._shown(claim.other)

    def _shown(self, identity: Identity) -> str:
        customer = contact.seen_by(self.request, identity.customer)
        return format_html(
            '<span class="stacked"><span>{} {}</span><small>of <a class="link" href="{}">{}</a></small></span>',
            identity.get_kind_display(),
            contact.identity_seen_by(self.request, identity),
            f"../customer/{customer.pk}/change/",
            customer.customer_id,
        )
