"""Tables that others' apps bring, under the names that staff know them by."""

from copy import copy
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin


class RenamedAdmin(ModelAdmin):
    """A list that says ``called``: the name of one row, and of several. The model's own names stay: renaming
    those would ask for a migration of the other app."""

    called: tuple[str, str]

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        self.opts = copy(model._meta)
        self.opts.verbose_name, self.opts.verbose_name_plural = self.called

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Rename the list too."""
        changelist = super().get_changelist_instance(request)
        changelist.opts = self.opts
        return changelist
