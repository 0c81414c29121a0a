"""Lists of large tables: they are never counted completely, and never sorted by a column without an index."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from .declared_lookups import DeclaredLookupsAdmin, DeclaredOrderChangeList

MAX_COUNTED_ROWS = 1_000


class CappedPaginator(Paginator):
    """A paginator that counts at most ``MAX_COUNTED_ROWS``. Staff find later rows by search."""

    template_name = "core/admin/pagination.html"
    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """Count up to the cap, without an order."""
        return self.object_list.order_by().values("pk")[:MAX_COUNTED_ROWS].count()

    @property
    def is_capped(self) -> bool:
        """Whether there may be more rows than counted."""
        return self.count >= MAX_COUNTED_ROWS


class CappedChangeList(DeclaredOrderChangeList):
    """A list without a total count."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """Use the capped count as the full count, so that the header shows no total."""
        super().get_results(request)
        self.full_result_count = self.result_count


class CappedListAdmin(DeclaredLookupsAdmin):
    """A list whose cost does not depend on the size of the table."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_disable_select_all = True
    sortable_by = ()
    ordering: tuple[str, ...] = ("-pk",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return CappedChangeList


class ReadOnlyAdmin(CappedListAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
