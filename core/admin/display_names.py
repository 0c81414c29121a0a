"""Models of third-party apps, with names that staff understand."""

from copy import copy
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest

from .declared_lookups import DeclaredLookupsAdmin


class DisplayNameAdmin(DeclaredLookupsAdmin):
    """Shows a model under ``display_names``, singular and plural.

    The model keeps its own names: changing them would need a migration in the other app.
    """

    display_names: tuple[str, str]

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        self.opts = copy(model._meta)
        self.opts.verbose_name, self.opts.verbose_name_plural = self.display_names

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.opts = self.opts
        changelist.title = self.display_names[1].capitalize()
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Model | None:
        """Rename the object, too: the breadcrumbs show its names."""
        found: Model | None = super().get_object(request, object_id, from_field)
        if found is not None:
            found._meta = self.opts  # type: ignore[misc]
        return found
