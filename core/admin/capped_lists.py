"""Lists of tables that may be huge: never counted as a whole, never sorted by what has no index."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from .declared_lookups import DeclaredLookupsAdmin, DeclaredOrderChangeList

MAX_COUNTED_ROWS = 1_000


class CappedPaginator(Paginator):
    """Counts up to a thousand rows; who looks for a later one searches."""

    template_name = "customers/admin/pagination.html"
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """Count no further than the cap, in the order that is cheapest for the database."""
        return self.object_list.order_by().values("pk")[:MAX_COUNTED_ROWS].count()

    @property
    def is_capped(self) -> bool:
        """Tell whether there may be more rows than counted."""
        return self.count >= MAX_COUNTED_ROWS


class CappedChangeList(DeclaredOrderChangeList):
    """A list that does not offer to count or show everything."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Take the capped count for the full one: the header then says nothing about it."""
        super().get_results(request)
        self.full_result_count = self.result_count


class CappedListAdmin(DeclaredLookupsAdmin):
    """A list that costs the same whatever the size of its table."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_disable_select_all = True
    sortable_by = ()
    ordering: tuple[str, ...] = ("-pk",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        """Use the list that does not count."""
        return CappedChangeList


class ReadOnlyAdmin(CappedListAdmin):
    """Rows that staff look at and do not write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False
