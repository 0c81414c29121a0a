"""The segments themselves."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView, RetrieveAPIView

from customers.authentication import needs
from customers.errors import BAD_PAGE, REFUSED, ErrorSerializer
from customers.pagination import KeysetPagination
from segments.models import Segment

from .serializers import SegmentSerializer

NO_SEGMENT = {404: OpenApiResponse(ErrorSerializer, "There is no such segment.")}


@extend_schema(responses={200: SegmentSerializer, **BAD_PAGE, **REFUSED}, tags=["segments"])
class SegmentList(ListAPIView):
    """All segments, the oldest first. Needs the scope `segments:read`."""

    permission_classes = [needs("segments:read", "segments.view_segment")]
    pagination_class = KeysetPagination
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()


@extend_schema(responses={200: SegmentSerializer, **REFUSED, **NO_SEGMENT}, tags=["segments"])
class SegmentDetail(RetrieveAPIView):
    """One segment. Needs the scope `segments:read`."""

    permission_classes = [needs("segments:read", "segments.view_segment")]
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()
    lookup_field = "slug"

    def get_object(self) -> Segment:
        """Find it."""
        return segment_of(self.kwargs["slug"])


def segment_of(slug: str) -> Segment:
    """Find a segment by its slug, or answer that there is none."""
    segment = Segment.objects.filter(slug=slug).first()
    if segment is None:
        raise NotFound(f"There is no segment {slug}.")
    return segment
