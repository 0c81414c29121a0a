"""What an address may ask of a list: the parameters of its declared filters, and the order of its declared columns.

Every class that is registered with the admin derives from ``DeclaredLookupsAdmin``: Django's own would let whoever
sees a list filter and sort it by any column of its table, also by those that the person may not see.
"""

from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.views import ChangeList


class DeclaredOrderChangeList(ChangeList):
    """A list that is sorted by the columns whose headers say so, whatever stands in the address."""

    def get_ordering_field(self, field_name: Any) -> Any:
        """Leave out the columns that cannot be sorted by."""
        sortable = self.model_admin.get_sortable_by(self.request)
        return super().get_ordering_field(field_name) if field_name in sortable else None

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(request, *args, **kwargs)


class DeclaredLookupsAdmin(ModelAdmin):
    """A list that is filtered by its declared filters, and a page of each row."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow the parameters of ``list_filter`` and ``date_hierarchy``, and no other."""
        assert request is not None
        return lookup in self._declared(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the list that sorts by declared columns."""
        return DeclaredOrderChangeList

    def _declared(self, request: HttpRequest) -> set[str]:
        parts = ("year", "month", "day") if self.date_hierarchy else ()
        found = {f"{self.date_hierarchy}__{part}" for part in parts}
        for one in self.get_list_filter(request):
            if hasattr(one, "parameter_name"):
                found.add(one.parameter_name)
                continue
            path, made = one if isinstance(one, tuple | list) else (one, FieldListFilter.create)
            field = get_fields_from_path(self.model, path)[-1]
            spec = made(field, request, {}, self.model, self, field_path=path)
            found |= set(spec.expected_parameters())
        return found
