"""The addresses of the API: segments and their members, to read."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import ListAPIView, RetrieveAPIView

from customers.authentication import needs

from .models import Membership, Segment
from .pagination import ByCustomer, KeysetPagination
from .serializers import ErrorSerializer, MemberSerializer, SegmentSerializer

BAD_PAGE = {400: OpenApiResponse(ErrorSerializer, "A cursor or a page size that will not do.")}
REFUSED = {
    401: OpenApiResponse(ErrorSerializer, "No key, a wrong one, or one that was revoked."),
    403: OpenApiResponse(ErrorSerializer, "The key lacks the scope; the message names it."),
}
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
        return _segment(self.kwargs["slug"])


@extend_schema(responses={200: MemberSerializer, **BAD_PAGE, **REFUSED, **NO_SEGMENT}, tags=["members"])
class MemberList(ListAPIView):
    """The stored members of a segment, with contact data. Needs the scope `members:read`.

    Members may enter and leave between two pages: whoever was in all the time is listed exactly once.
    """

    permission_classes = [needs("members:read", "segments.view_membership", "customers.view_contact_data")]
    pagination_class = ByCustomer
    serializer_class = MemberSerializer
    queryset = Membership.objects.none()

    def get_queryset(self) -> QuerySet[Membership]:
        """Read of customers what is shown, not their attributes, which may be long."""
        shown = ("customer_id", "email", "phone", "first_name", "last_name")
        members = Membership.objects.filter(segment=_segment(self.kwargs["slug"]))
        return members.select_related("customer").only(
            "customer", "segment", "entered_at", *(f"customer__{name}" for name in shown)
        )


def _segment(slug: str) -> Segment:
    segment = Segment.objects.filter(slug=slug).first()
    if segment is None:
        raise NotFound(f"There is no segment {slug}.")
    return segment
