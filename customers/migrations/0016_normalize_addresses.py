"""Write e-mail addresses in their one spelling, and the key of each; what is no address any more stays as it is."""

from django.db import migrations

from customers import email_addresses

AT_ONCE = 2_000


def normalize(apps, schema_editor):
    customers = apps.get_model("customers", "Customer").objects
    changed = []
    for customer in customers.exclude(email="").only("email", "email_folded").iterator(AT_ONCE):
        customer.email = _normalized(customer.email)
        customer.email_folded = email_addresses.fold(customer.email)
        changed.append(customer)
        if len(changed) == AT_ONCE:
            customers.bulk_update(changed, ["email", "email_folded"])
            changed = []
    customers.bulk_update(changed, ["email", "email_folded"])
    _normalize_identities(apps.get_model("customers", "Identity").objects)
    _normalize_traits(apps.get_model("customers", "Traits").objects)


def _normalized(address):
    try:
        return email_addresses.normalize(address) or address
    except email_addresses.InvalidAddress:
        return address


def _normalize_identities(identities):
    for identity in list(identities.filter(kind="email")):
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
