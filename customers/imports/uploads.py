"""Files that staff upload, and their imports. The only writer of ``Import`` and ``ColumnMapping``.

Web and worker processes share the folder. A worker imports one file at a time, in the order in which they were
started. If the worker dies, another one starts the file again; importing rows again changes nothing.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from core.db import leases
from core.wakeup import notify_on_commit
from customers.models import ColumnMapping, Import
from customers.rows.settings import shop_settings
from customers.signals import records_changed

from . import csv_files, detection, workbooks
from .csv_files import FORMATS, ImportPreview
from .csv_reader import NumberedRow
from .detection import KeptMapping
from .dialects import Dialect
from .formats import Format, InvalidFile
from .import_report import ImportReport
from .tables import read_table
from .upload_files import RejectedRowsFile, create_folder, delete_files, file_path

log = structlog.get_logger(__name__)

State = Import.State

PREVIEW_ROWS: Final = 200
MAX_ATTEMPTS: Final = 3
UNSTARTED_RETENTION: Final = timedelta(days=1)
WORKER_STOPPED = f"The worker stopped {MAX_ATTEMPTS} times during this import. Its log has the reason."


class _ImportEnded(Exception):
    """Another worker has taken over the import, or it was cancelled."""


# -- Before the import


def store_upload(name: str, chunks: Iterable[bytes], at: datetime, *, by: str = "") -> Import:
    """Store an uploaded file, and detect how it is written. Raises InvalidFile if it cannot be imported."""
    create_folder()
    upload = Import(
        name=name[-255:], stored=f"{secrets.token_hex(16)}.csv", size=0, by=by[:150], uploaded_at=at
    )
    path = file_path(upload)
    try:
        with path.open("xb") as file:
            for chunk in chunks:
                upload.size += file.write(chunk)
        detect_upload(upload, "", {})
        upload.save()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return upload


def describe_upload(upload: Import, kind: str, given: Mapping[str, object]) -> None:
    """Read a file that was not started as staff say: as a kind, with the parts of the dialect that they chose.

    Raises InvalidFile, or FileNotFoundError if the file has been deleted.
    """
    detect_upload(upload, kind, given)
    waiting = Import.objects.filter(pk=upload.pk, state=State.UPLOADED)
    waiting.update(kind=upload.kind, dialect=upload.dialect)


def detect_upload(upload: Import, kind: str, given: Mapping[str, object]) -> None:
    """Set the kind and the dialect of a file, without storing them. Raises InvalidFile or FileNotFoundError."""
    with file_path(upload).open("rb") as file:
        detected = detection.detect(file, kind=kind, given=given, kept=_kept_mapping)
    upload.kind = detected.kind
    upload.dialect = detected.dialect.as_json() if detected.dialect else {}


def _kept_mapping(header_key: str) -> KeptMapping | None:
    kept = ColumnMapping.objects.filter(header_key=header_key).first()
    return KeptMapping(kept.kind, kept.mapping, kept.date_orders) if kept else None


@dataclass(frozen=True)
class UploadedTable:
    """The columns of a file and its first rows as they are written, and the sheets of a workbook."""

    columns: list[str]
    rows: list[NumberedRow]
    sheets: list[str]


def read_table_of(upload: Import) -> UploadedTable:
    """Return the beginning of a file. Raises InvalidFile or FileNotFoundError."""
    with file_path(upload).open("rb") as file:
        sheets = workbooks.sheet_names(file) if workbooks.is_workbook(file) else []
        file.seek(0)
        numbered = read_table(file, Dialect.from_json(upload.dialect), csv_files.PREVIEW_BYTES)
        columns = [str(name).strip() for name in next(numbered)[1]]
        return UploadedTable(columns, list(islice(numbered, PREVIEW_ROWS)), sheets)


def preview_upload(upload: Import, kind: Format) -> ImportPreview:
    """Preview the first rows in a format. Raises InvalidFile, or FileNotFoundError if the file has been deleted."""
    dialect = Dialect.from_json(upload.dialect)
    with file_path(upload).open("rb") as file:
        return csv_files.preview_file(kind, file, shop_settings(), PREVIEW_ROWS, dialect)


def start_import(upload: Import, kind: Format, at: datetime) -> bool:
    """Queue the import of a file from its beginning. Return False if it is queued or running already.

    It is read as ``upload`` says, even if somebody else has described the file otherwise after its preview.
    """
    startable = Import.objects.filter(pk=upload.pk).exclude(stored="")
    is_started = bool(
        startable.filter(state__in=(State.UPLOADED, State.FAILED, State.CANCELLED)).update(
            state=State.WAITING,
            kind=kind.name,
            dialect=upload.dialect,
            queued_at=at,
            attempts=0,
            is_stopping=False,
            **_reset_counts(),
        )
    )
    if is_started:
        _keep_mapping(upload, kind, at)
    return is_started


def _keep_mapping(upload: Import, kind: Format, at: datetime) -> None:
    """Keep what the columns mean for the next file with this header."""
    dialect = Dialect.from_json(upload.dialect)
    if dialect is None or not dialect.mapping or not dialect.header_row:
        return
    ColumnMapping.objects.update_or_create(
        header_key=detection.header_key(read_table_of(upload).columns),
        defaults={
            "kind": kind.name,
            "mapping": dialect.mapping,
            "date_orders": dialect.date_orders,
            "saved_at": at,
        },
    )


def cancel_import(upload: Import, at: datetime) -> None:
    """Cancel an import, at once or after the current batch. Imported rows stay."""
    mine = Import.objects.filter(pk=upload.pk)
    waiting = mine.filter(state__in=(State.UPLOADED, State.WAITING))
    if not waiting.update(state=State.CANCELLED, finished_at=at):
        mine.filter(state=State.RUNNING).update(is_stopping=True)


# -- The worker


def run_next_import() -> bool:
    """Import the next file that waits, if any. Return whether others wait."""
    upload = _claim_next(datetime.now(UTC))
    if upload is not None:
        mine = Import.objects.filter(pk=upload.pk, state=State.RUNNING, attempts=upload.attempts)
        with leases.extend_periodically(mine, _lease_duration()):
            ended = _run_import(upload, mine.update)
        mine.update(finished_at=datetime.now(UTC), **ended)
        notify_on_commit(records_changed)  # a cancelled import has written records, too
    return Import.objects.filter(state=State.WAITING).exists()


def _claim_next(at: datetime) -> Import | None:
    """Claim the import that waits longest, unless another one is running."""
    running = Import.objects.filter(state=State.RUNNING)
    if leases.end_abandoned(
        running, at, _lease_duration(), lambda upload: _state_after_abandonment(upload, at)
    ):
        return None
    upload = Import.objects.filter(state=State.WAITING).order_by("queued_at", "pk").first()
    if upload is None:
        return None
    waiting = Import.objects.filter(pk=upload.pk, state=State.WAITING)
    try:
        with transaction.atomic():
            is_claimed = leases.claim(
                waiting,
                state=State.RUNNING,
                attempts=F("attempts") + 1,
                started_at=at,
                heartbeat_at=at,
                **_reset_counts(),
            )
    except IntegrityError:
        return None  # another worker got there first
    return Import.objects.get(pk=upload.pk) if is_claimed else None


def _lease_duration() -> timedelta:
    return timedelta(seconds=settings.IMPORT_LEASE)


def _state_after_abandonment(upload: Import, at: datetime) -> dict[str, Any]:
    """Return the new state of an import whose worker died: waiting, unless it was cancelled or failed too often."""
    if upload.is_stopping:
        return {"state": State.CANCELLED, "finished_at": at}
    if upload.attempts >= MAX_ATTEMPTS:
        return {"state": State.FAILED, "finished_at": at, "error": WORKER_STOPPED}
    return {"state": State.WAITING}


def _run_import(upload: Import, update: Callable[..., int]) -> dict[str, Any]:
    """Import a file. Return the changes to its row at the end."""
    try:
        with file_path(upload).open("rb") as file, RejectedRowsFile(upload) as rejected_rows:
            dialect = Dialect.from_json(upload.dialect)
            rejected_rows.write_header(str(name).strip() for name in next(read_table(file, dialect))[1])
            file.seek(0)

            def on_progress(report: ImportReport) -> None:
                rejected_rows.flush()
                is_mine = update(bytes_read=file.tell(), **_counts(report))
                if not is_mine or Import.objects.filter(pk=upload.pk, is_stopping=True).exists():
                    raise _ImportEnded

            report = csv_files.import_file(
                FORMATS[upload.kind],
                file,
                shop_settings(),
                on_rejected=rejected_rows.add,
                progress=on_progress,
                source=f"import {upload.pk}",
                dialect=dialect,
            )
    except _ImportEnded:
        return {"state": State.CANCELLED}
    except (InvalidFile, OSError) as error:
        return {"state": State.FAILED, "error": str(error)}
    except Exception as error:  # staff must see that it failed, and can start it again
        log.exception("import_failed", import_id=upload.pk)
        return {"state": State.FAILED, "error": f"{type(error).__name__}: {error}"}
    return {"state": State.DONE, "bytes_read": upload.size, "warnings": report.warnings, **_counts(report)}


def _counts(report: ImportReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in ("read", "created", "updated", "refused", "records")}


def _reset_counts() -> dict[str, Any]:
    zeros: dict[str, Any] = dict.fromkeys(("bytes_read", "read", "created", "updated", "refused"), 0)
    return zeros | {"finished_at": None, "warnings": [], "error": "", "records": {}}


# -- After the import


def delete_old_files(at: datetime) -> int:
    """Delete files whose import ended long ago or was never started. Return how many. The rows of ``Import`` stay."""
    long_ago = at - timedelta(days=settings.IMPORTS_KEPT_FOR)
    ended = Q(finished_at__lt=long_ago, state__in=(State.DONE, State.FAILED, State.CANCELLED))
    never_started = Q(state=State.UPLOADED, uploaded_at__lt=at - UNSTARTED_RETENTION)
    old = list(Import.objects.filter(ended | never_started).exclude(stored=""))
    for upload in old:
        delete_files(upload)
    Import.objects.filter(pk__in=[upload.pk for upload in old]).update(stored="")
    Import.objects.filter(never_started).update(state=State.CANCELLED, finished_at=at)
    return len(old)
