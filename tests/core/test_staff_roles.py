"""Declared roles are installed once; later changes by staff stay."""

import re
import threading

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection

from core.models import InstalledRole
from core.staff.roles import Role, check_roles, declared_permissions, install_roles
from segments_project.roles import ROLES, UNGRANTED_PERMISSIONS

OUR_APPS = ("core", "customers", "segments", "campaigns")

pytestmark = pytest.mark.django_db


def permissions_of(group: str) -> set[str]:
    found = Permission.objects.filter(group__name=group).select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in found}


# -- What is declared


def test_a_new_database_has_exactly_the_declared_roles() -> None:
    assert {name: permissions_of(name) for name in Group.objects.values_list("name", flat=True)} == {
        role.name: {*role.permissions} for role in ROLES
    }


def test_every_permission_of_our_models_is_granted_or_named_as_not_granted() -> None:
    ours = declared_permissions(apps.get_app_config(label) for label in OUR_APPS)
    granted = {name for role in ROLES for name in role.permissions}

    assert ours - granted == {*UNGRANTED_PERMISSIONS}
    assert len(UNGRANTED_PERMISSIONS) == len({*UNGRANTED_PERMISSIONS})


def test_the_declared_permissions_are_those_that_the_database_has() -> None:
    found = Permission.objects.values_list("content_type__app_label", "codename")

    assert {f"{app}.{codename}" for app, codename in found} == declared_permissions()


def test_a_wrong_declaration_fails_the_checks_of_django() -> None:
    wrong = Role("Auditor", " ", ("customers.view_customer", "customers.view_custommer"))

    assert check_roles(ROLES) == []
    assert [(error.id, "custommer" in error.msg) for error in check_roles([wrong])] == [
        ("core.E001", False),
        ("core.E002", True),
    ]


def test_the_documentation_describes_every_role() -> None:
    text = (settings.BASE_DIR / "docs" / "staff.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+) \| ([^|]+) \|$", re.sub(r"\[([^]]+)\]\([^)]+\)|\*", r"\1", text), re.MULTILINE
    )

    assert rows[1:] == [(role.name, role.description) for role in ROLES]


def test_the_documentation_says_which_roles_may_export() -> None:
    text = (settings.BASE_DIR / "docs" / "staff.md").read_text(encoding="utf-8")
    exports = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)

    assert exports
    for permissions, roles in exports:
        needed = {*re.findall(r"`([^`]+)`", permissions)}
        assert roles.split(", ") == [role.name for role in ROLES if needed <= {*role.permissions}]


# -- What staff changed stays


def test_changes_by_staff_survive_another_migrate() -> None:
    viewer, marketer, administrator = (Group.objects.get(name=role.name) for role in ROLES)
    Group.objects.filter(pk=viewer.pk).update(name="Guest")
    viewer.permissions.remove(Permission.objects.get(codename="view_customer"))
    viewer.permissions.add(Permission.objects.get(codename="view_suppression"))
    marketer.delete()
    administrator.permissions.clear()
    before = {group.name: permissions_of(group.name) for group in Group.objects.all()}

    for app in ((), ("customers",)):
        call_command("migrate", *app, verbosity=0, interactive=False)

    assert {group.name: permissions_of(group.name) for group in Group.objects.all()} == before
    assert {name: len(found) for name, found in before.items()} == {"Guest": 8, "Administrator": 0}


# -- What a new version adds

OLD = Role("Auditor", "sees refreshes", ("segments.view_refresh",))
NEW = Role("Auditor", "sees refreshes and verifications", (*OLD.permissions, "segments.view_verification"))


@pytest.mark.parametrize("name", ["Auditor", "Inspector"])
def test_a_new_permission_is_granted_once_even_to_a_renamed_group(name: str) -> None:
    install_roles([OLD])
    group = Group.objects.get(name="Auditor")
    Group.objects.filter(pk=group.pk).update(name=name)
    group.permissions.clear()

    install_roles([NEW])
    assert permissions_of(name) == {"segments.view_verification"}

    group.permissions.clear()
    install_roles([NEW])
    assert permissions_of(name) == set()


def test_a_permission_that_is_declared_no_more_is_taken_back_once() -> None:
    install_roles([NEW])
    install_roles([OLD])
    assert permissions_of("Auditor") == {*OLD.permissions}

    Group.objects.get(name="Auditor").permissions.add(Permission.objects.get(codename="view_verification"))
    install_roles([OLD])

    assert permissions_of("Auditor") == {*NEW.permissions}


def test_a_deleted_role_is_not_created_again_for_a_new_permission() -> None:
    install_roles([OLD])
    Group.objects.get(name="Auditor").delete()

    install_roles([NEW])

    assert not Group.objects.filter(name="Auditor").exists()


def test_a_group_by_staff_with_the_name_of_a_new_role_is_kept() -> None:
    Group.objects.create(name="Auditor")

    install_roles([OLD])
    install_roles([NEW])

    assert permissions_of("Auditor") == set()


def test_a_permission_that_is_not_in_the_database_yet_is_granted_later() -> None:
    permission = Permission.objects.get(codename="view_verification")
    name, content_type = permission.name, permission.content_type
    permission.delete()
    install_roles([NEW])
    assert permissions_of("Auditor") == {"segments.view_refresh"}

    Permission.objects.create(name=name, content_type=content_type, codename="view_verification")
    install_roles([NEW])

    assert permissions_of("Auditor") == {*NEW.permissions}


def test_installing_again_takes_one_query(django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        install_roles(ROLES)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_migrate_at_once_install_a_role_once() -> None:
    failures: list[BaseException] = []

    def install() -> None:
        try:
            install_roles([NEW])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=install) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert permissions_of("Auditor") == {*NEW.permissions}
    assert InstalledRole.objects.get(name="Auditor").permissions == [*NEW.permissions]


@pytest.mark.django_db(transaction=True)
def test_an_emptied_database_gets_the_roles_again() -> None:
    call_command("flush", verbosity=0, interactive=False)

    assert permissions_of("Viewer") == {*ROLES[0].permissions}
