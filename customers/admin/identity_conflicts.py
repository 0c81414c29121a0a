"""Identity conflicts: ids that were said to be one person, of customers who have different customer ids."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from core.admin.capped_lists import ReadOnlyAdmin
from core.templatetags.display import moment
from customers.models import Identity, IdentityLink

from . import contact_data


@admin.register(IdentityLink)
class ConflictAdmin(ReadOnlyAdmin):
    """The list of conflicts; the customers are a click away."""

    list_display = ("claimed", "first", "second")
    list_display_links = None
    fields = list_display
    readonly_fields = list_display
    list_select_related = ("one__customer", "other__customer")
    list_before_template = "customers/admin/conflicts.html"
    ordering = ("-at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdentityLink]:
        """Keep the claims that were refused."""
        self.request = request
        return super().get_queryset(request).filter(is_refused=True)

    @display(description="Said")
    def claimed(self, claim: IdentityLink) -> str:
        """Show when it was said."""
        return moment(claim.at) if claim.message_id else "by a file"

    @display(description="This id")
    def first(self, claim: IdentityLink) -> str:
        """Show one id, and whose it is."""
        return self._shown(claim.one)

    @display(description="and this one")
    def second(self, claim: IdentityLink) -> str:
        """Show the other id, and whose it is."""
        return self._shown(claim.other)

    def _shown(self, identity: Identity) -> str:
        customer = contact_data.visible_customer(self.request, identity.customer)
        return format_html(
            '<span class="stacked"><span>{} {}</span><small>of <a class="link" href="{}">{}</a></small></span>',
            identity.get_kind_display(),
            contact_data.visible_identity(self.request, identity),
            f"../customer/{customer.pk}/change/",
            customer.customer_id,
        )
