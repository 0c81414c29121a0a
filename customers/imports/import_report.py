"""The report of an import: counts, and warnings for staff."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from customers.ingestion.attribute_limit import TOO_MANY_ATTRIBUTES
from customers.rows.settings import ShopSettings

from .row_batches import ParsedBatch

MAX_LINES_LISTED = 20
MAX_VALUES_LISTED = 100


@dataclass
class ImportReport:
    """The result of an import. ``created`` and ``updated`` count records: a row may hold several, such as an order and
    its line.

    ``records`` has both by kind: ``{"orders": (12, 3)}``.
    ``skipped`` counts rows from before an erasure. The lines ``kept_unsubscribed`` say ``subscribed``, but do not end
    an unsubscription. The lines ``over_attribute_limit`` are of customers with too many attributes.
    ``facts_updated`` counts customers.
    """

    read: int = 0
    created: int = 0
    updated: int = 0
    refused: int = 0
    skipped: int = 0
    kept_unsubscribed: list[int] = field(default_factory=list)
    over_attribute_limit: list[int] = field(default_factory=list)
    facts_updated: int = 0
    warnings: list[str] = field(default_factory=list)
    records: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add_records(self, kind: str, created: int, updated: int) -> None:
        """Count records of one kind."""
        self.created += created
        self.updated += updated
        if created or updated:
            former = self.records.get(kind, (0, 0))
            self.records[kind] = (former[0] + created, former[1] + updated)


class WarningCounts:
    """Counts for the warnings of an import."""

    def __init__(self) -> None:
        self.currencies: Counter[str] = Counter()
        self.skipped_values = _SkippedValues()

    def warnings(self, report: ImportReport, shop: ShopSettings) -> list[str]:
        """Return texts for staff about accepted and skipped rows."""
        texts = self.skipped_values.warnings() + [
            f"{count} orders are in {currency}, but the shop's currency is {shop.currency};"
            " their amounts are not converted"
            for currency, count in self.currencies.items()
            if currency != shop.currency
        ]
        if report.skipped:
            reason = (
                "row was skipped, because its customer has been erased"
                if report.skipped == 1
                else "rows were skipped, because their customers have been erased"
            )
            texts.append(f"{report.skipped} {reason}")
        if kept := report.kept_unsubscribed:
            texts.append(
                f"kept unsubscribed: {len(kept)} (the customer unsubscribed later): {list_lines(kept)}"
            )
        if over_limit := report.over_attribute_limit:
            texts.append(f"{TOO_MANY_ATTRIBUTES} ({len(over_limit)}): {list_lines(over_limit)}")
        return texts


class _SkippedValues:
    """Invalid values of accepted rows: the first ones are listed, the others counted."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.count = 0

    def add(self, batch: ParsedBatch) -> None:
        """Add the invalid values of accepted rows."""
        for line, reasons in batch.skipped_values.items():
            if line not in batch.refused:
                self.count += len(reasons)
                space = MAX_VALUES_LISTED - len(self.listed)
                self.listed += [f"line {line}: {reason} (the rest was kept)" for reason in reasons[:space]]

    def warnings(self) -> list[str]:
        more = self.count - len(self.listed)
        return [*self.listed, f"{more:,} more invalid values were left out"] if more else self.listed


def list_lines(numbers: Sequence[int]) -> str:
    """Return the first of some line numbers, and how many more there are."""
    shown = ", ".join(map(str, numbers[:MAX_LINES_LISTED]))
    more = f" and {len(numbers) - MAX_LINES_LISTED} more" if len(numbers) > MAX_LINES_LISTED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"
