"""The addresses of the shop's records: to send them, to read one customer, to export and to erase one."""

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api import errors
from core.api.authentication import require_scope
from core.api.errors import ACCESS_ERROR_RESPONSES, PAGE_ERROR_RESPONSES, ErrorSerializer
from core.api.idempotency import IDEMPOTENCY_ERROR_RESPONSES, idempotent
from core.api.pagination import KeysetPagination
from core.api.parsers import ExactJSONParser
from core.api.throttling import INGEST, READING
from core.models import ApiKey
from customers.facts import relations
from customers.identity import lookup
from customers.models import Customer
from customers.privacy import personal_data
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDERS, Kind

from . import ingest
from .schema import MAX_ITEMS
from .serializers import CustomerSerializer, ErasureSerializer, IngestResultSerializer, request_body

CanReadCustomers = require_scope("members:read", "customers.view_customer", "customers.view_contact_data")
CanIngest = require_scope("ingest", "customers.add_customer")
CanExport = require_scope("privacy", "customers.export_customer", "customers.view_contact_data")
CanErase = require_scope("privacy", "customers.add_erasure", "customers.view_contact_data")

INVALID_BODY = {
    400: OpenApiResponse(
        ErrorSerializer, "No JSON, too many objects, or the one object that was sent is bad."
    ),
    413: OpenApiResponse(ErrorSerializer, "Too many bytes."),
    415: OpenApiResponse(ErrorSerializer, "Not `application/json`."),
}
CUSTOMER_NOT_FOUND = {404: OpenApiResponse(ErrorSerializer, "There is no such customer.")}


def ingest_schema(kind: Kind) -> Any:
    """Describe the sending of a kind."""
    return extend_schema(
        request=request_body(kind),
        responses={
            200: OpenApiResponse(IngestResultSerializer, "A list, or one object that was there already."),
            201: OpenApiResponse(IngestResultSerializer, "One object that is new."),
            **INVALID_BODY,
            **IDEMPOTENCY_ERROR_RESPONSES,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=[kind.name],
    )


class IngestView(APIView):
    """Takes objects of one kind."""

    kind: Kind
    parser_classes = [ExactJSONParser]

    @property
    def rate(self) -> str:
        """Count what is sent among the ingestion."""
        return INGEST if self.request.method == "POST" else READING

    def take(self, request: Request) -> Response:
        """Take one object or a list; of a list the good ones are kept, the bad ones reported by index."""
        given = request.data
        items = given if isinstance(given, list) else [given]
        if len(items) > MAX_ITEMS:
            raise ValidationError(f"Send at most {MAX_ITEMS:,} objects at once; these are {len(items):,}.")
        taken = ingest.ingest_objects(self.kind, items)
        if items is not given and 0 in taken.refused:
            raise ValidationError({place["path"]: place["message"] for place in taken.refused[0]})
        is_new = items is not given and taken.created
        return Response(
            _response_body(taken, len(items)), status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        )


def _response_body(taken: ingest.IngestResult, count: int) -> dict[str, Any]:
    return {
        "created": taken.created,
        "updated": taken.updated,
        "refused": len(taken.refused),
        "left_out": len(taken.left_out),
        "results": [_object_result(taken, index) for index in range(count)],
    }


def _object_result(taken: ingest.IngestResult, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {"index": index, "status": taken.status(index)}
    if places := taken.refused.get(index):
        result["error"] = errors.error_body("invalid", errors.summarize_invalid_values(places), places)
    elif warnings := taken.warnings.get(index):
        result["warnings"] = warnings
    if index in taken.kept_unsubscribed:
        result["kept"] = "unsubscribed"
    return result


class CustomerList(IngestView, ListAPIView):
    """The shop's customers."""

    kind = CUSTOMERS
    pagination_class = KeysetPagination
    serializer_class = CustomerSerializer
    queryset = Customer.objects.existing().select_related("facts")

    def get_permissions(self) -> list[BasePermission]:
        """Ask for another scope to send than to read."""
        return [CanIngest() if self.request.method == "POST" else CanReadCustomers()]

    @extend_schema(
        responses={200: CustomerSerializer, **PAGE_ERROR_RESPONSES, **ACCESS_ERROR_RESPONSES},
        tags=["customers"],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All customers, with contact data and facts as they were last summed up. Needs the scope `members:read`."""
        return super().get(request, *args, **kwargs)

    @ingest_schema(CUSTOMERS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update customers by `customer_id`. Needs the scope `ingest`.

        What is not given, or null, stays as it is; attributes are added to those there are.
        """
        return self.take(request)


class Orders(IngestView):
    """The shop's orders."""

    kind = ORDERS
    permission_classes = [CanIngest]

    @ingest_schema(ORDERS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update orders by `order_id`, each with its `lines`. Needs the scope `ingest`.

        A new order names its customer, who is created where unknown. A line is known by its `line_id`, or else by its
        sku and the how-manieth such line of the order it is; fewer lines than before remove none.
        """
        return self.take(request)


class Events(IngestView):
    """What customers did."""

    kind = EVENTS
    permission_classes = [CanIngest]

    @ingest_schema(EVENTS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update events by `message_id`. Needs the scope `ingest`.

        Each names whose it is, by `customer_id`, `anonymous_id` or both, which joins the visitor to the customer.
        """
        return self.take(request)


class CustomerDetail(APIView):
    """One customer."""

    def get_permissions(self) -> list[BasePermission]:
        """Ask for another scope to erase than to read."""
        return [CanErase() if self.request.method == "DELETE" else CanReadCustomers()]

    @extend_schema(
        responses={200: CustomerSerializer, **ACCESS_ERROR_RESPONSES, **CUSTOMER_NOT_FOUND},
        tags=["customers"],
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """One customer by any of their ids, with facts as of now. Needs the scope `members:read`."""
        now = datetime.now(UTC)
        context = {"facts_of": lambda one: relations.facts_of_customer(one, now)}
        return Response(CustomerSerializer(get_customer_or_404(customer_id), context=context).data)

    @extend_schema(
        responses={
            200: OpenApiResponse(ErasureSerializer, "Erased; other customers have the same address."),
            204: OpenApiResponse(description="Erased; nobody else has the address."),
            **ACCESS_ERROR_RESPONSES,
            **CUSTOMER_NOT_FOUND,
        },
        tags=["privacy"],
    )
    def delete(self, request: Request, customer_id: str) -> Response:
        """Erase one customer with all records, for good. Needs the scope `privacy`.

        Other customers who have the same e-mail address or phone number are named, and not erased.
        """
        by = request.auth.name if isinstance(request.auth, ApiKey) else request.user.get_username()
        customer = get_customer_or_404(customer_id)
        try:
            others = personal_data.customers_sharing_addresses(customer)
            personal_data.erase_customer(customer, datetime.now(UTC), by=by)
        except personal_data.AlreadyErased:
            raise NotFound(f"There is no customer {customer_id}.") from None
        if others:
            return Response({"sharing_addresses": others})
        return Response(status=status.HTTP_204_NO_CONTENT)


class CustomerExport(APIView):
    """All that is known of one customer."""

    permission_classes = [CanExport]

    @extend_schema(
        responses={200: OpenApiTypes.OBJECT, **ACCESS_ERROR_RESPONSES, **CUSTOMER_NOT_FOUND}, tags=["privacy"]
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """Everything about one customer: contact data, ids, consent, orders, events, segments. Needs `privacy`."""
        return Response(personal_data.export_customer(get_customer_or_404(customer_id), datetime.now(UTC)))


def get_customer_or_404(customer_id: str) -> Customer:
    """Find a customer by any id, or answer that there is none."""
    found = lookup.find_customer(customer_id) if "\x00" not in customer_id else None
    if found is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return found
