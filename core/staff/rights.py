"""Who may give which rights: nobody more than they have themselves."""

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet


def grantable_permissions(giver: User) -> QuerySet[Permission]:
    """Return the permissions that a person may give to others: all for superusers, else their own."""
    if giver.is_superuser:
        return Permission.objects.all()
    return _held(giver) if giver.is_active else Permission.objects.none()


def assignable_roles(giver: User) -> QuerySet[Group]:
    """Return the groups without permissions that a person may not give."""
    beyond = Permission.objects.exclude(pk__in=grantable_permissions(giver).values("pk"))
    return Group.objects.exclude(permissions__in=beyond).order_by("name")


def may_change_role(giver: User, group: Group) -> bool:
    """Return whether a person may edit or delete a group."""
    return not group.permissions.exclude(pk__in=grantable_permissions(giver).values("pk")).exists()


def may_manage(manager: User, person: User) -> bool:
    """Return whether somebody may change another account: only one without more permissions than their own.

    Who sets the password or the address of an account can log in with it. An inactive account keeps its permissions.
    """
    if manager.is_superuser:
        return True
    beyond = _held(person).exclude(pk__in=grantable_permissions(manager).values("pk"))
    return not (person.is_superuser or beyond.exists())


def _held(person: User) -> QuerySet[Permission]:
    return Permission.objects.filter(Q(group__user=person) | Q(user=person)).distinct()
