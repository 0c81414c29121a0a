"""Who is in a segment, and the segments somebody is in."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from customers.api.views import NOBODY, customer_of
from customers.authentication import needs
from customers.errors import BAD_PAGE, REFUSED
from customers.pagination import ByCustomer
from segments import live
from segments.models import Membership, Segment

from .segments import NO_SEGMENT, segment_of
from .serializers import MemberSerializer, SegmentsOfCustomerSerializer


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
        members = Membership.objects.filter(segment=segment_of(self.kwargs["slug"]))
        return members.select_related("customer").only(
            "customer", "segment", "entered_at", *(f"customer__{name}" for name in shown)
        )


class SegmentsOfCustomer(APIView):
    """The segments of one customer."""

    permission_classes = [needs("members:read", "segments.view_membership", "customers.view_customer")]

    @extend_schema(
        parameters=[
            OpenApiParameter("live", bool, description="Ask the rules of all active segments now, instead.")
        ],
        responses={200: SegmentsOfCustomerSerializer, **REFUSED, **NOBODY},
        tags=["customers"],
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """The segments one customer is in, as last refreshed or live. Needs the scope `members:read`."""
        customer = customer_of(customer_id)
        is_live = request.query_params.get("live", "").lower() in ("true", "1")
        entered = dict(
            Membership.objects.filter(customer=customer).values_list("segment__slug", "entered_at")
        )
        slugs = live.segments_of(customer.pk) if is_live else list(entered)
        names = Segment.objects.filter(slug__in=slugs).order_by("slug").values_list("slug", "name")
        found = [{"slug": slug, "name": name, "entered_at": entered.get(slug)} for slug, name in names]
        told = {"customer_id": customer.customer_id, "live": is_live, "segments": found}
        return Response(SegmentsOfCustomerSerializer(told).data)
