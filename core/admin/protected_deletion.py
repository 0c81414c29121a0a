"""Why something is not deleted: what uses it, each with the way there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from django.contrib import admin
from django.db.models import PROTECT, RESTRICT, Model
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from .declared_lookups import DeclaredLookupsAdmin

MAX_LINKS: Final = 20


class ProtectedDeletionAdmin(DeclaredLookupsAdmin):
    """Rows that are not deleted while others use them, even where the database would delete those along with them."""

    used_by: tuple[str, ...] = ()
    """The names of the relations that lead to the users, such as ``periodictask``."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the users in place of what would be deleted, where there are any."""
        doomed = list(objs)
        reasons = [reason for name in self.used_by for reason in user_links(doomed, name)]
        if reasons:
            return [str(one) for one in doomed], {}, set(), reasons
        return super().get_deleted_objects(objs, request)


def user_links(doomed: Sequence[Model], relation: str) -> Iterator[SafeString]:
    """Say, with links, which rows of a relation lead to one of those that are to be deleted."""
    if not doomed:
        return
    leads_to: Any = type(doomed[0])._meta.get_field(relation)
    question = {f"{leads_to.remote_field.name}__in": doomed}
    users = leads_to.related_model._default_manager.filter(**question).distinct()
    yield from object_links(users[:MAX_LINKS])


def protecting_links(doomed: Sequence[Model]) -> Iterator[SafeString]:
    """Say, with links, which rows keep the database from deleting these."""
    for relation in type(doomed[0])._meta.related_objects if doomed else ():
        if getattr(relation, "on_delete", None) in (PROTECT, RESTRICT):
            users = relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": doomed})
            yield from object_links(users[:MAX_LINKS])


def object_links(users: Iterable[Any]) -> Iterator[SafeString]:
    """Name rows with what they are, and the way to each that has a page."""
    for one in users:
        opts = one._meta
        site = admin.site._registry.get(type(one))
        kind = capfirst((site.opts if site else opts).verbose_name)
        try:
            address = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[one.pk])
        except NoReverseMatch:
            yield format_html("{} {} uses it", kind, one)
        else:
            yield format_html('{} <a class="link" href="{}">{}</a> uses it', kind, address, one)
