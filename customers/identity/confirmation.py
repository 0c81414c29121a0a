"""Who is confirmed: customers of whom more is known than what browsers have told.

Anybody can make any number of visitors with the key of a browser, with an e-mail address and a customer id.
"""

from customers.models import ConsentStatement, Customer, Identity, Order
from customers.models.consent import Way

_TOLD_BY_SERVERS = (Identity.Kind.EMAIL, Identity.Kind.PHONE)


def is_confirmed(customer: Customer) -> bool:
    """Tell whether somebody who is trusted has told of a customer.

    A server, the API or a file has named the customer's id, told their e-mail address or phone number, or told of an
    order of theirs; or they have confirmed their address themselves, by the link of a message.
    """
    identities = Identity.objects.filter(customer=customer)
    return (
        identities.filter(kind=Identity.Kind.CUSTOMER_ID, is_trusted=True).exists()
        or identities.filter(kind__in=_TOLD_BY_SERVERS).exists()
        or Order.objects.filter(customer=customer, is_draft=False).exists()
        or ConsentStatement.objects.filter(identity__customer=customer, way=Way.CONFIRMED).exists()
    )
