"""Views of the API of records: sending records, and reading, exporting or erasing one customer."""

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
        ErrorSerializer, "The body is not JSON, has too many objects, or is a single invalid object."
    ),
    413: OpenApiResponse(ErrorSerializer, "Too many bytes."),
    415: OpenApiResponse(ErrorSerializer, "Not `application/json`."),
}
CUSTOMER_NOT_FOUND = {404: OpenApiResponse(ErrorSerializer, "There is no such customer.")}


def ingest_schema(kind: Kind) -> Any:
    return extend_schema(
        request=request_body(kind),
        responses={
            200: OpenApiResponse(IngestResultSerializer, "A list, or one object that existed already."),
            201: OpenApiResponse(IngestResultSerializer, "One object that is new."),
            **INVALID_BODY,
            **IDEMPOTENCY_ERROR_RESPONSES,
            **ACCESS_ERROR_RESPONSES,
        },
        tags=[kind.name],
    )


class IngestView(APIView):
    """Ingests objects of one kind."""

    kind: Kind
    parser_classes = [ExactJSONParser]

    @property
    def rate(self) -> str:
        return INGEST if self.request.method == "POST" else READING

    def ingest_request(self, request: Request) -> Response:
        """Ingest one object or a list. Invalid objects of a list are reported by index, and the others are kept."""
        given = request.data
        items = given if isinstance(given, list) else [given]
        if len(items) > MAX_ITEMS:
            raise ValidationError(
                f"A request may have at most {MAX_ITEMS:,} objects; this one has {len(items):,}."
            )
        result = ingest.ingest_objects(self.kind, items)
        if items is not given and 0 in result.refused:
            raise ValidationError({value["path"]: value["message"] for value in result.refused[0]})
        is_new = items is not given and result.created
        return Response(
            _response_body(result, len(items)), status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        )


def _response_body(result: ingest.IngestResult, count: int) -> dict[str, Any]:
    return {
        "created": result.created,
        "updated": result.updated,
        "refused": len(result.refused),
        "left_out": len(result.skipped),
        "results": [_object_result(result, index) for index in range(count)],
    }


def _object_result(result: ingest.IngestResult, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": index, "status": result.status(index)}
    if invalid := result.refused.get(index):
        entry["error"] = errors.error_body("invalid", errors.summarize_invalid_values(invalid), invalid)
    elif warnings := result.warnings.get(index):
        entry["warnings"] = warnings
    if index in result.kept_unsubscribed:
        entry["kept"] = "unsubscribed"
    return entry


class CustomerListView(IngestView, ListAPIView):
    """The shop's customers."""

    kind = CUSTOMERS
    pagination_class = KeysetPagination
    serializer_class = CustomerSerializer
    queryset = Customer.objects.existing().select_related("facts")

    def get_permissions(self) -> list[BasePermission]:
        return [CanIngest() if self.request.method == "POST" else CanReadCustomers()]

    @extend_schema(
        responses={200: CustomerSerializer, **PAGE_ERROR_RESPONSES, **ACCESS_ERROR_RESPONSES},
        tags=["customers"],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All customers, with contact data and stored facts. Needs the scope `members:read`."""
        return super().get(request, *args, **kwargs)

    @ingest_schema(CUSTOMERS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update customers by `customer_id`. Needs the scope `ingest`.

        Fields that are missing or null keep their values. Attributes are added to the existing ones.
        """
        return self.ingest_request(request)


class OrdersView(IngestView):
    """The shop's orders."""

    kind = ORDERS
    permission_classes = [CanIngest]

    @ingest_schema(ORDERS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update orders by `order_id`, each with its `lines`. Needs the scope `ingest`.

        A new order needs a customer, who is created if unknown. A line is identified by its `line_id`, or else by its
        sku and its number among the order's lines with that sku. Sending fewer lines than before removes none.
        """
        return self.ingest_request(request)


class EventsView(IngestView):
    """What customers did."""

    kind = EVENTS
    permission_classes = [CanIngest]

    @ingest_schema(EVENTS)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create or update events by `message_id`. Needs the scope `ingest`.

        An event needs a `customer_id` or an `anonymous_id`. An event with both merges the visitor into the customer.
        """
        return self.ingest_request(request)


class CustomerDetailView(APIView):
    """One customer."""

    def get_permissions(self) -> list[BasePermission]:
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
            200: OpenApiResponse(
                ErasureSerializer, "The customer is erased. Other customers have the same address."
            ),
            204: OpenApiResponse(description="The customer is erased. No other customer has the address."),
            **ACCESS_ERROR_RESPONSES,
            **CUSTOMER_NOT_FOUND,
        },
        tags=["privacy"],
    )
    def delete(self, request: Request, customer_id: str) -> Response:
        """Erase one customer with all records, for good. Needs the scope `privacy`.

        Other customers with the same e-mail address or phone number are not erased; the response names them.
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


class CustomerExportView(APIView):
    """All data about one customer."""

    permission_classes = [CanExport]

    @extend_schema(
        responses={200: OpenApiTypes.OBJECT, **ACCESS_ERROR_RESPONSES, **CUSTOMER_NOT_FOUND}, tags=["privacy"]
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """Everything about one customer: contact data, ids, consent, orders, events, segments. Needs `privacy`."""
        return Response(personal_data.export_customer(get_customer_or_404(customer_id), datetime.now(UTC)))


def get_customer_or_404(customer_id: str) -> Customer:
    """Return the customer with an id of any kind. Raises NotFound."""
    found = lookup.find_customer(customer_id) if "\x00" not in customer_id else None
    if found is None:
        raise NotFound(f"There is no customer {customer_id}.")
    return found
