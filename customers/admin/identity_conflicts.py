"""Identity conflicts: statements that two ids are one person, although their customers have different customer ids."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from core.admin.capped_lists import CappedChangeList, ReadOnlyAdmin
from core.templatetags.display import moment
from customers.models import Customer, Identity, IdentityLink

from . import contact_data


class ConflictList(CappedChangeList):
    """A page of conflicts with their customers, who may be stored elsewhere."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        identities = [identity for link in self.result_list for identity in (link.one, link.other)]
        customers = contact_data.customers_by_key(request, {identity.customer_id for identity in identities})
        for identity in identities:
            identity.customer = customers[identity.customer_id]


@admin.register(IdentityLink)
class ConflictAdmin(ReadOnlyAdmin):
    """The list of conflicts."""

    list_display = ("stated", "first", "second")
    list_display_links = None
    fields = list_display
    readonly_fields = list_display
    list_select_related = ("one", "other")
    list_before_template = "customers/admin/conflicts.html"
    ordering = ("-at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdentityLink]:
        self.request = request
        return super().get_queryset(request).filter(is_conflict=True)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConflictList]:
        return ConflictList

    @display(description="Stated")
    def stated(self, link: IdentityLink) -> str:
        return moment(link.at) if link.message_id else "in a file"

    @display(description="Id")
    def first(self, link: IdentityLink) -> str:
        return self._shown(link.one)

    @display(description="Other id")
    def second(self, link: IdentityLink) -> str:
        return self._shown(link.other)

    def _shown(self, identity: Identity) -> str:
        return format_html(
            '<span class="stacked"><span>{} {}</span><small>of <a class="link" href="{}">{}</a>{}</small></span>',
            identity.get_kind_display(),
            contact_data.visible_identity(self.request, identity),
            f"../customer/{identity.customer.pk}/change/",
            identity.customer.name,
            _id_after(identity.customer),
        )


def _id_after(customer: Customer) -> str:
    """Return the shop's id, to follow the name: both customers of a conflict can have the same name."""
    return (
        ""
        if not customer.readable_id or customer.readable_id in customer.name
        else f", {customer.readable_id}"
    )
