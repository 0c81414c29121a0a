"""Staff and their groups: who may come in, and what they may do."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from customers.admin.lookups import DeclaredLookupsAdmin

from .naming import RenamedAdmin

apps.get_app_config("auth").verbose_name = "Administration"

for model in (User, Group):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(RenamedAdmin, BaseUserAdmin):
    """Who may come in. Only superusers make superusers, or touch them: else whoever manages staff would be one.

    Whoever has done something stays in the trail, so the admin refuses to delete them; they are made inactive.
    """

    called = ("member of staff", "staff")
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[str] | tuple[Any, ...]:
        """Let only superusers say who is one."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers change one, their passwords included."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let only superusers delete one."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return request.user.is_superuser or not (user and user.is_superuser)


@admin.register(Group)
class GroupAdmin(DeclaredLookupsAdmin, BaseGroupAdmin):
    """What several may do alike."""
