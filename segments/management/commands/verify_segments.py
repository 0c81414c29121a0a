"""Compare the stored members of all segments with a full evaluation."""

import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from segments.refresh import verification

COMPARED_NOBODY = 2


class Command(BaseCommand):
    """Verify every segment at its own ``refreshed_at``.

    The exit status is 1 if there are differences, which are printed, and 2 if no customer was compared.
    """

    help = "Compare every segment's stored members with a full evaluation from the records."

    def handle(self, **options: Any) -> None:
        verdicts = verification.verify_all(datetime.now(UTC))
        for verdict in verdicts:
            slug = verdict.segment.slug
            if verdict.skipped:
                self.stdout.write(f"{slug}: not compared, {verdict.skipped}")
                continue
            result = "right" if verdict.is_correct else "DIFFERENT"
            waiting = f", {verdict.waiting} customers waiting for the next refresh" if verdict.waiting else ""
            self.stdout.write(f"{slug}: {result}, {verdict.compared} members compared{waiting}")
            for what, count, ids in (
                ("missing", verdict.missing_count, verdict.missing),
                ("extra", verdict.extra_count, verdict.extra),
            ):
                if count:
                    more = f" and {count - len(ids)} more" if count > len(ids) else ""
                    self.stdout.write(f"  {what}: {', '.join(ids)}{more}")
            if verdict.wrong_size and not (verdict.missing_count or verdict.extra_count):
                self.stdout.write(f"  {verdict.wrong_size}")
        if not all(verdict.is_correct for verdict in verdicts):
            sys.exit(1)
        if all(verdict.skipped for verdict in verdicts):
            self.stderr.write("Nobody was compared: no segment's members are known to be right.")
            sys.exit(COMPARED_NOBODY)
