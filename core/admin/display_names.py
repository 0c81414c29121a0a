"""Tables that others' apps bring, under the names that staff know them by."""

from copy import copy
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest

from .declared_lookups import DeclaredLookupsAdmin


class DisplayNameAdmin(DeclaredLookupsAdmin):
    """A list and pages that say ``called``: the name of one row, and of several. The model's own names stay:
    renaming those would ask for a migration of the other app."""

    called: tuple[str, str]

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        self.opts = copy(model._meta)
        self.opts.verbose_name, self.opts.verbose_name_plural = self.called

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Rename the list too."""
        changelist = super().get_changelist_instance(request)
        changelist.opts = self.opts
        changelist.title = self.called[1].capitalize()
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        """Rename the record too, whose own names the breadcrumbs say."""
        found: Model | None = super().get_object(request, object_id, from_field)
        if found is not None:
            found._meta = self.opts  # type: ignore[misc]
        return found
