"""Customers and orders in the search of the admin."""

from collections.abc import Iterator
from itertools import chain
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime

from core import search
from core.templatetags.display import amount
from customers.models import Customer, Order, RecordKey

from . import contact_data

VIEW_CUSTOMER = "customers.view_customer"


@search.register
def find_customers(request: HttpRequest, term: str) -> Iterator[search.Results]:
    if request.user.has_perm(VIEW_CUSTOMER):
        yield _orders(request, term)
        found = contact_data.find_customers(request, term, search.MAX_RESULTS + 1)
        customers = contact_data.customers_by_key(request, found.keys)
        shown = [customers[key] for key in found.keys if key in customers]
        list_url = f"{reverse('admin:customers_customer_changelist')}?{urlencode({'q': term})}"
        yield search.Results(
            "Customers",
            "person",
            [search.Result(one.name, _url(one.pk), _about(one)) for one in shown[: search.MAX_RESULTS]],
            found.is_complete,
            list_url if len(shown) > search.MAX_RESULTS else "",
        )


def _orders(request: HttpRequest, term: str) -> search.Results:
    """Find orders by their whole number, with or without the sign in front of it."""
    number = term.lstrip("#")
    keys = RecordKey.objects.filter(kind=RecordKey.Kind.ORDER, value__in={term, number, f"#{number}"})
    # The time names the part of the table.
    places = list(keys.values_list("record", "at")) if contact_data.is_visible(request, term) else []
    orders = list(chain.from_iterable(Order.objects.filter(pk=key, placed_at=at) for key, at in places))
    customers = contact_data.customers_by_key(request, [order.customer_id for order in orders])
    return search.Results(
        "Orders",
        "shopping_bag",
        [
            search.Result(f"Order {order.order_id}", _url(order.customer_id), _about_order(order, customers))
            for order in orders
        ],
    )


def _url(key: int) -> str:
    return reverse("admin:customers_customer_change", args=[key])


def _about_order(order: Order, customers: dict[int, Customer]) -> str:
    placed = date_format(localtime(order.placed_at), "j M Y")
    return f"{customers[order.customer_id].name}, {amount(order.total, order.currency)}, {placed}"


def _about(customer: Customer) -> str:
    told = (customer.email, customer.phone, customer.readable_id)
    return " · ".join(dict.fromkeys(text for text in told if text and text != customer.name))
