"""What of campaigns is deleted with a segment. Campaigns themselves prevent its deletion."""

from collections.abc import Iterator

from django.http import HttpRequest

from campaigns.models import AudienceExport
from segments.admin.texts import count_text
from segments.models import Segment


def audience_consequences(request: HttpRequest, doomed: list[Segment]) -> Iterator[str]:
    """Yield how many downloads of audiences are forgotten."""
    exports = AudienceExport.objects.filter(segment__in=doomed).count()
    if exports:
        yield (
            f"The record of {count_text(exports, 'download')} for ads is deleted. The platforms keep the customers who"
            " were uploaded."
        )
