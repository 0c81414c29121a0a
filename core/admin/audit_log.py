"""The trail: who of the staff did what, in the admin's own log. Forms are logged by the admin; all else here."""

from collections.abc import Iterable

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db.models import Model
from django.http import HttpRequest


def log_additions(request: HttpRequest, records: Iterable[Model], what: str) -> None:
    """Keep that the person created these records, and how."""
    _note(request, records, ADDITION, what)


def log_changes(request: HttpRequest, records: Iterable[Model], what: str) -> None:
    """Keep what the person did to these records."""
    _note(request, records, CHANGE, what)


def log_deletions(request: HttpRequest, records: Iterable[Model], what: str) -> None:
    """Keep that the person deleted these records; called before they are gone."""
    _note(request, records, DELETION, what)


def _note(request: HttpRequest, records: Iterable[Model], flag: int, what: str) -> None:
    assert request.user.pk  # pages of the admin are for those who are logged in
    LogEntry.objects.log_actions(request.user.pk, records, flag, what)
