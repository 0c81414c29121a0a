"""Write e-mail addresses in their one spelling, and the key of each; what is no address any more stays as it is."""

from django.db import migrations
from django.db.models import F

from customers import email_addresses

AT_ONCE = 2_000
# Addresses that are their own one spelling and key, as nearly all are.
PLAIN = r"^[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@[a-z0-9-]+(\.[a-z0-9-]+)+$"


def normalize(apps, schema_editor):
    customers = apps.get_model("customers", "Customer").objects
    customers.filter(email__regex=PLAIN).update(email_folded=F("email"))
    changed = []
    others = customers.exclude(email="").exclude(email__regex=PLAIN)
    for customer in others.only("email", "email_folded").iterator(AT_ONCE):
        customer.email = _normalized(customer.email)
        customer.email_folded = email_addresses.fold(customer.email)
        changed.append(customer)
        if len(changed) == AT_ONCE:
            customers.bulk_update(changed, ["email", "email_folded"], batch_size=100)
            changed = []
    customers.bulk_update(changed, ["email", "email_folded"], batch_size=100)
    _normalize_identities(apps.get_model("customers", "Identity").objects)
    _normalize_traits(apps.get_model("customers", "Traits").objects)


def _normalized(address):
    try:
        return email_addresses.normalize(address) or address
    except email_addresses.InvalidAddress:
        return address


def _normalize_identities(identities):
    for identity in list(identities.filter(kind="email").exclude(value__regex=PLAIN)):
        value = _normalized(identity.value)
        # Where the spelling leads to a customer already, the old one stays: nobody will write it any more.
        if value != identity.value and not identities.filter(kind="email", value=value).exists():
            identities.filter(pk=identity.pk).update(value=value)


def _normalize_traits(traits):
    for one in traits.filter(told__has_key="email").iterator(AT_ONCE):
        value, *rest = one.told["email"]
        if _normalized(value) != value:
            one.told["email"] = [_normalized(value), *rest]
            traits.filter(pk=one.pk).update(told=one.told)


class Migration(migrations.Migration):
    dependencies = [("customers", "0015_key_addresses")]

    operations = [migrations.RunPython(normalize, migrations.RunPython.noop)]
