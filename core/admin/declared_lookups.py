"""Restricts the filters and the order in a list's URL to those that the list declares.

Every registered admin derives from ``DeclaredLookupsAdmin``. Django's own lets everybody who sees a list filter and
sort it by any column, including columns that the person may not see.
"""

from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.views import ChangeList


class DeclaredOrderChangeList(ChangeList):
    """A list that is sorted only by its sortable columns, whatever the URL says."""

    def get_ordering_field(self, field_name: Any) -> Any:
        sortable = self.model_admin.get_sortable_by(self.request)
        return super().get_ordering_field(field_name) if field_name in sortable else None

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(request, *args, **kwargs)


class DeclaredLookupsAdmin(ModelAdmin):
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow only the parameters of ``list_filter`` and ``date_hierarchy``."""
        assert request is not None
        return lookup in self._declared(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeclaredOrderChangeList

    def _declared(self, request: HttpRequest) -> set[str]:
        parts = ("year", "month", "day") if self.date_hierarchy else ()
        found = {f"{self.date_hierarchy}__{part}" for part in parts}
        for list_filter in self.get_list_filter(request):
            if hasattr(list_filter, "parameter_name"):
                found.add(list_filter.parameter_name)
                continue
            path, create = (
                list_filter
                if isinstance(list_filter, tuple | list)
                else (list_filter, FieldListFilter.create)
            )
            field = get_fields_from_path(self.model, path)[-1]
            spec = create(field, request, {}, self.model, self, field_path=path)
            found |= set(spec.expected_parameters())
        return found
