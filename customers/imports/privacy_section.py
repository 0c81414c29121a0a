"""The personal data in uploaded files and in their rejected rows."""

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from core.private_files import replace_file
from customers.models import Customer, Import
from customers.privacy.mentions import Mentions, split_rows
from customers.privacy.personal_data import Section

from .dialects import Dialect
from .formats import InvalidFile
from .tables import read_table
from .upload_files import file_path, rejected_rows_path


def _export(customer: Customer) -> list[dict[str, Any]]:
    """Return the rejected rows that mention a customer."""
    mentions = Mentions.collect([customer.pk])
    return [
        {"import": upload.name, "uploaded_at": upload.uploaded_at.isoformat(), "rows": rows}
        for upload in Import.objects.exclude(stored="").order_by("pk")
        for rows in [_split_rejected_rows(upload, mentions)[1]]
        if rows
    ]


def _erase(customers: Sequence[int], at: datetime) -> None:
    """Remove customers from files of rejected rows, and delete files of finished imports that mention them.

    A file that still has to be imported stays; the import skips the past of erased customers.
    """
    mentions = Mentions.collect(customers)
    for upload in Import.objects.exclude(stored=""):
        if upload.is_open:
            continue
        kept, named = _split_rejected_rows(upload, mentions)
        if named:
            replace_file(rejected_rows_path(upload), kept.encode("utf-8-sig"))
        if upload.state == Import.State.DONE and _mentions_person(upload, mentions):
            file_path(upload).unlink(missing_ok=True)


def _split_rejected_rows(upload: Import, mentions: Mentions) -> tuple[str, list[list[str]]]:
    try:
        text = rejected_rows_path(upload).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return "", []
    return split_rows(mentions, text)


def _mentions_person(upload: Import, mentions: Mentions) -> bool:
    """Return whether a file mentions a person. An invalid file counts as mentioning them."""
    try:
        with file_path(upload).open("rb") as file:
            dialect = Dialect.from_json(upload.dialect)
            numbered = read_table(file, dialect)
            header = next(numbered, (0, []))[1]
            if dialect:
                # A short value is an id only in a column that is called so.
                header = [dialect.mapping.get(str(name)) or str(name) for name in header]
            return any(
                isinstance(cells, str) or mentions.in_pairs(zip_longest(header, cells, fillvalue=""))
                for _, cells in numbered
            )
    except FileNotFoundError:
        return False
    except InvalidFile:
        return True


SECTION = Section(export=_export, erase=_erase, lock=lambda: None)
