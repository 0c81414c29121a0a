"""Installs declared roles as groups with their permissions. The only writer of ``InstalledRole``."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.contrib.auth import get_permission_codename
from django.core.checks import CheckMessage, Error
from django.db import DEFAULT_DB_ALIAS, transaction


@dataclass(frozen=True)
class Role:
    """A group of staff. ``permissions`` are strings as for ``has_perm``: ``app.codename``."""

    name: str
    description: str
    permissions: tuple[str, ...]


def all_permissions(*models: str) -> tuple[str, ...]:
    """Return the permissions to view, add, change and delete each of these models (``app.model``)."""
    return tuple(
        f"{app}.{action}_{model}"
        for app, model in (name.split(".") for name in models)
        for action in ("view", "add", "change", "delete")
    )


def declared_permissions(configs: Iterable[AppConfig] | None = None) -> set[str]:
    """Return every permission that the models of these apps have, by default of all apps."""
    return {
        f"{model._meta.app_label}.{codename}"
        for config in (apps.get_app_configs() if configs is None else configs)
        for model in config.get_models()
        for codename in (
            *(get_permission_codename(action, model._meta) for action in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    }


def check_roles(roles: Iterable[Role]) -> list[CheckMessage]:
    """Return an error for each role without a description and each permission that no model has."""
    known = declared_permissions()
    return [
        *(
            Error(f"The role {role.name} has no description.", id="core.E001")
            for role in roles
            if not role.description.strip()
        ),
        *(
            Error(f"The role {role.name} is granted {permission}, which does not exist.", id="core.E002")
            for role in roles
            for permission in role.permissions
            if permission not in known
        ),
    ]


def install_roles(roles: Iterable[Role], *, using: str = DEFAULT_DB_ALIAS, registry: Apps = apps) -> None:
    """Create the group of each new role, grant each declared permission once, and take back what is declared no more.

    Other changes by staff stay: a removed permission is not granted again, a deleted group is not created again, and an
    existing group of the same name stays as it is. A permission that does not exist yet, because its app is not
    migrated, is granted by a later call.
    """
    try:
        installed = registry.get_model("core", "InstalledRole").objects.using(using)
    except LookupError:  # this app is not migrated
        return
    granted = dict(installed.values_list("name", "permissions"))
    changed = [role for role in roles if {*role.permissions} != {*granted.get(role.name, ())}]
    if not changed:
        return
    names = {name for role in changed for name in (*role.permissions, *granted.get(role.name, ()))}
    keys = dict(_permission_keys(names, using, registry))
    with transaction.atomic(using=using):
        for role in changed:
            _install_role(role, keys, using, registry)


def _install_role(role: Role, keys: dict[str, int], using: str, registry: Apps) -> None:
    installed = registry.get_model("core", "InstalledRole").objects.using(using)
    # If two processes migrate at once, the second one waits here.
    row, is_new = installed.get_or_create(name=role.name)
    row = installed.select_for_update().get(pk=row.pk)
    if is_new:
        group, is_ours = (
            registry.get_model("auth", "Group").objects.using(using).get_or_create(name=role.name)
        )
        row.group = group if is_ours else None
    missing = [name for name in role.permissions if name in keys and name not in row.permissions]
    withdrawn = {name for name in row.permissions if name not in role.permissions}
    if row.group is not None:
        row.group.permissions.add(*(keys[name] for name in missing))
        row.group.permissions.remove(*(keys[name] for name in withdrawn if name in keys))
    row.permissions = [*(name for name in row.permissions if name not in withdrawn), *missing]
    row.save(update_fields=["group", "permissions"])


def _permission_keys(names: Collection[str], using: str, registry: Apps) -> Iterator[tuple[str, int]]:
    codenames = {name.partition(".")[2] for name in names}
    permissions: Any = registry.get_model("auth", "Permission").objects.using(using)
    found = permissions.filter(codename__in=codenames).values_list(
        "content_type__app_label", "codename", "pk"
    )
    for app, codename, key in found:
        if (name := f"{app}.{codename}") in names:
            yield name, key
