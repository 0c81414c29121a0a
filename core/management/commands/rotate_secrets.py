"""Encrypt the stored secrets with the current SECRET_KEY, so that the former key can be removed."""

from typing import Any

from cryptography.fernet import InvalidToken
from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models, transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from core.encryption import EncryptedField, rotate


class Command(BaseCommand):
    """Encrypt all encrypted fields again."""

    help = (
        "Encrypt the secrets of webhooks and tracking sources with SECRET_KEY. Run this after a change of SECRET_KEY,"
        " while the former key is in SECRET_KEY_FALLBACKS."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        rotated = 0
        unreadable: list[str] = []
        for model in apps.get_models():
            for field in model._meta.local_fields:
                if isinstance(field, EncryptedField):
                    done, lost = _rotated(model, field)
                    rotated, unreadable = rotated + done, unreadable + lost
        self.stdout.write(f"{rotated} secrets are encrypted with SECRET_KEY")
        if unreadable:
            raise CommandError(
                f"No key in SECRET_KEY and SECRET_KEY_FALLBACKS can decrypt {', '.join(unreadable)}."
            )


def _rotated(model: type[models.Model], field: EncryptedField) -> tuple[int, list[str]]:
    """Encrypt one field of every row. Return how many, and the names of those that no key can decrypt."""
    stored = Cast(field.attname, TextField())
    rows = (
        model._default_manager.select_for_update().annotate(encrypted=stored).values_list("pk", "encrypted")
    )
    done, lost = 0, []
    for key, encrypted in rows.order_by("pk"):
        if not encrypted:
            continue
        try:
            again = models.Value(rotate(encrypted), output_field=TextField())
        except InvalidToken:
            lost.append(f"{field.name} of {model._meta.verbose_name} {key}")
            continue
        model._default_manager.filter(pk=key).update(**{field.attname: again})
        done += 1
    return done, lost
