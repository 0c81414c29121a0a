"""Objects that cannot be deleted while others use them. The page links to the users."""

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
    """Refuses to delete an object that others use, even where the database would delete them, too."""

    used_by: tuple[str, ...] = ()
    """The relations to the users, such as ``periodictask``."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        objects = list(objs)
        reasons = [reason for name in self.used_by for reason in user_links(objects, name)]
        if reasons:
            return [str(item) for item in objects], {}, set(), reasons
        return super().get_deleted_objects(objs, request)


def user_links(objects: Sequence[Model], relation: str) -> Iterator[SafeString]:
    """Return a link to each object that uses one of these objects through a relation."""
    if not objects:
        return
    related: Any = type(objects[0])._meta.get_field(relation)
    condition = {f"{related.remote_field.name}__in": objects}
    users = related.related_model._default_manager.filter(**condition).distinct()
    yield from object_links(users[:MAX_LINKS])


def protecting_links(objects: Sequence[Model]) -> Iterator[SafeString]:
    """Return a link to each object that keeps the database from deleting these objects."""
    for relation in type(objects[0])._meta.related_objects if objects else ():
        if getattr(relation, "on_delete", None) in (PROTECT, RESTRICT):
            users = relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": objects})
            yield from object_links(users[:MAX_LINKS])


def object_links(users: Iterable[Any]) -> Iterator[SafeString]:
    """Return a text for each object, with a link if it has a page."""
    for user in users:
        opts = user._meta
        site = admin.site._registry.get(type(user))
        kind = capfirst((site.opts if site else opts).verbose_name)
        try:
            address = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[user.pk])
        except NoReverseMatch:
            yield format_html("{} {} uses it", kind, user)
        else:
            yield format_html('{} <a class="link" href="{}">{}</a> uses it', kind, address, user)
