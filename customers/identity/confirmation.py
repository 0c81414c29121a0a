"""Which customers are confirmed: more is known of them than browsers have sent.

With the key of a browser, anybody can create any number of visitors with an e-mail address and a customer id.
"""

from customers.models import ConsentStatement, Customer, Identity, Order
from customers.models.consent import ConsentMethod

_SENT_BY_SERVERS = (Identity.Kind.EMAIL, Identity.Kind.PHONE)


def is_confirmed(customer: Customer) -> bool:
    """Return whether a trusted sender has mentioned a customer.

    A server, the API or a file has sent the customer's id, e-mail address, phone number, or an order of theirs; or
    they have confirmed their address by the link in a message.
    """
    identities = Identity.objects.filter(customer=customer)
    return (
        identities.filter(kind=Identity.Kind.CUSTOMER_ID, is_trusted=True).exists()
        or identities.filter(kind__in=_SENT_BY_SERVERS).exists()
        or Order.objects.filter(customer=customer, is_draft=False).exists()
        or ConsentStatement.objects.filter(
            identity__customer=customer, method=ConsentMethod.CONFIRMED
        ).exists()
    )
