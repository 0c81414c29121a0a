"""The audit log, in Django's ``LogEntry``. The admin logs its forms. Everything else that staff do is logged here."""

from collections.abc import Iterable

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db.models import Model
from django.http import HttpRequest


def log_additions(request: HttpRequest, objects: Iterable[Model], message: str) -> None:
    _log(request, objects, ADDITION, message)


def log_changes(request: HttpRequest, objects: Iterable[Model], message: str) -> None:
    _log(request, objects, CHANGE, message)


def log_deletions(request: HttpRequest, objects: Iterable[Model], message: str) -> None:
    """Must be called before the objects are deleted."""
    _log(request, objects, DELETION, message)


def _log(request: HttpRequest, objects: Iterable[Model], flag: int, message: str) -> None:
    assert request.user.pk  # users of the admin are logged in
    LogEntry.objects.log_actions(request.user.pk, objects, flag, message)
