"""Begin the statements of consent with how it stands, and let an unsubscription hold for everybody with the address.

Who subscribed by a browser stays subscribed. Whose address nobody but a browser gave is noted, too.
"""

from datetime import UTC, datetime

from django.db import migrations

AT_ONCE = 5_000
OURS = "unsubscribe link"


def begin(apps, schema_editor):
    now = datetime.now(UTC)
    models = {name: apps.get_model("customers", name) for name in (
        "Customer", "Identity", "Traits", "ConsentChange", "ConsentStatement", "AddressUnsubscription", "StaleFacts",
    )}  # fmt: skip
    _note_browsers_addresses(models)
    statements, newest = [], {}
    for row in _consents(models, now):
        identity, address, state, way, at, source = row
        statements.append(
            models["ConsentStatement"](
                identity_id=identity, state=state, way=way, at=at, address=address if state == "subscribed" else ""
            )
        )
        if state == "unsubscribed" and way != "browser" and address:
            key = address, way
            if key not in newest or newest[key][0] < at:
                newest[key] = at, source
        if len(statements) == AT_ONCE:
            models["ConsentStatement"].objects.bulk_create(statements, ignore_conflicts=True)
            statements = []
    models["ConsentStatement"].objects.bulk_create(statements, ignore_conflicts=True)
    models["AddressUnsubscription"].objects.bulk_create(
        (
            models["AddressUnsubscription"](address=address, way=way, at=at, source=source)
            for (address, way), (at, source) in newest.items()
        ),
        batch_size=AT_ONCE,
    )
    _unsubscribe_namesakes(models, newest, now)
    _forget_traits(models)


def _consents(models, now):
    """Give of each customer with a consent: identity, address, state, way, moment and source."""
    customers = models["Customer"].objects.filter(joined_into=None).exclude(newsletter="never").order_by("pk")
    by_browser = set(
        models["Traits"].objects.filter(told__newsletter__3=False).values_list("identity__customer_id", flat=True)
    )
    columns, last = ("newsletter", "subscribed_at", "recorded_at", "email_folded"), 0
    while page := list(customers.filter(pk__gt=last).only(*columns)[:AT_ONCE]):
        last = page[-1].pk
        keys = [customer.pk for customer in page]
        identities = _identities(models, keys)
        changes = {
            (one.customer_id, one.state): one
            for one in models["ConsentChange"].objects.filter(customer__in=keys).order_by("pk")  # the latest stays
        }
        for customer in page:
            if customer.pk not in identities:
                continue
            change = changes.get((customer.pk, customer.newsletter))
            at = min(change.at if change else customer.recorded_at, now)
            source = change.source if change else ""
            way = _way(customer, source, by_browser)
            yield identities[customer.pk], customer.email_folded, customer.newsletter, way, at, source


def _identities(models, customers):
    """Give of each customer the identity that the statement is made of: the first customer id, else browser."""
    ids = models["Identity"].objects.filter(customer__in=customers, kind__in=("customer_id", "anonymous_id"))
    # The last one of a customer stays in the mapping.
    return dict(ids.order_by("kind", "-pk").values_list("customer_id", "pk"))


def _way(customer, source, by_browser):
    if source == OURS:
        return "firm"
    if source == "tracking":
        return "browser" if customer.pk in by_browser else "firm"
    if customer.newsletter == "subscribed" and customer.subscribed_at:
        return "firm"
    return "api" if source == "API" else "file"


def _unsubscribe_namesakes(models, newest, now):
    """Unsubscribe who subscribed before somebody else with the same address unsubscribed."""
    ends = {}
    for (address, way), (at, _) in newest.items():
        ends.setdefault(address, []).append((way, at))
    addresses = list(ends)
    for start in range(0, len(addresses), 500):
        some = models["Customer"].objects.filter(
            joined_into=None, newsletter="subscribed", email_folded__in=addresses[start : start + 500]
        )
        for customer in some:
            said = {
                one.way: one.at
                for one in models["ConsentStatement"].objects.filter(
                    identity__customer=customer.pk, state="subscribed"
                )
            }
            if all(
                any(said.get(one) and said[one] > at for one in ("firm", way)) for way, at in ends[customer.email_folded]
            ):
                continue
            models["Customer"].objects.filter(pk=customer.pk).update(newsletter="unsubscribed")
            models["ConsentChange"].objects.create(
                customer_id=customer.pk,
                state="unsubscribed",
                at=max(at for _, at in ends[customer.email_folded]),
                source="another customer of the address",
            )
            models["StaleFacts"].objects.create(customer_id=customer.pk)


def _note_browsers_addresses(models):
    told = models["Traits"].objects.filter(told__email__3=False).values_list("identity__customer_id", "told__email__0")
    for customer, email in told:
        models["Customer"].objects.filter(pk=customer, email=email).update(email_is_trusted=False)


def _forget_traits(models):
    for one in models["Traits"].objects.filter(told__has_key="newsletter").iterator(AT_ONCE):
        del one.told["newsletter"]
        models["Traits"].objects.filter(pk=one.pk).update(told=one.told)


class Migration(migrations.Migration):
    dependencies = [("customers", "0022_statements_of_consent")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
