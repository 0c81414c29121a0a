"""Write ids, names and compared texts in NFC; where an id of that spelling is there already, the old one stays."""

from urllib.parse import unquote

from django.db import migrations
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from customers import comparable
from customers.text_cleaning import to_nfc

AT_ONCE = 1_000
# A column may hold JSON, which writes letters as escapes.
NOT_ASCII = r"[^\x01-\x7f]|\\u|%[C-F]"

PAIRS = ("country", "city", "language", "source")
PRODUCT = ("sku_folded", "name_folded", "category_folded", "brand_folded")


def rewrite(apps, schema_editor):
    def model(name):
        return apps.get_model("customers", name)

    _rewrite(model("Identity"), ("value",), _plain("value"), unique=("kind", "value"))
    texts = ("customer_id", "first_name", "last_name", *PAIRS)
    _rewrite(
        model("Customer"),
        (*texts, *(f"{name}_folded" for name in PAIRS), "attributes", "attributes_comparable"),
        _both(_plain(*texts), _pairs(*PAIRS), _attributes),
        unique=("customer_id",),
    )
    _rewrite(model("DatedAttribute"), ("name",), _dated)
    _rewrite(
        model("Order"),
        ("order_id", "coupon_code", "coupon_code_folded"),
        _both(_plain("order_id", "coupon_code"), _pairs("coupon_code")),
        unique=("order_id",),
    )
    parts = ("sku", "name", "category", "brand")
    _rewrite(
        model("OrderLine"),
        ("key", *parts, *PRODUCT),
        _both(_plain("key", *parts), _pairs(*parts)),
        unique=("order", "key"),
    )
    _rewrite(
        model("Event"),
        ("message_id", "name", "properties_comparable", *PRODUCT),
        _both(_plain("message_id", "name"), _folded(*PRODUCT), _properties),
        unique=("is_from_browser", "message_id"),
    )
    _rewrite(model("EventProduct"), PRODUCT, _folded(*PRODUCT))
    _rewrite(model("OrderNote"), ("order_id", "told"), _note)
    _rewrite(model("Traits"), ("told",), _traits)


def _rewrite(model, columns, change, unique=()):
    """Change the rows whose texts are not all ASCII, a thousand at a time."""
    rows = model.objects.annotate(**{f"text_{name}": Cast(name, TextField()) for name in columns})
    question = Q()
    for name in columns:
        question |= Q(**{f"text_{name}__regex": NOT_ASCII})
    rows, last = rows.filter(question).order_by("pk"), 0
    only = [*columns, *(name for name in unique if name not in columns)]
    while page := list(rows.filter(pk__gt=last).only(*only)[:AT_ONCE]):
        changed = []
        for row in page:
            before = {name: getattr(row, name) for name in columns}
            change(row)
            if unique and before.get(unique[-1]) != getattr(row, unique[-1]) and _is_there(model, row, unique):
                setattr(row, unique[-1], before[unique[-1]])
            if before != {name: getattr(row, name) for name in columns}:
                if unique and before[unique[-1]] != getattr(row, unique[-1]):
                    # At once, so that the next row of this spelling meets it.
                    model.objects.filter(pk=row.pk).update(**{unique[-1]: getattr(row, unique[-1])})
                changed.append(row)
        model.objects.bulk_update(changed, columns, batch_size=100)
        last = page[-1].pk


def _is_there(model, row, unique):
    same = {name: getattr(row, model._meta.get_field(name).attname) for name in unique}
    return model.objects.filter(**same).exists()


def _both(*changes):
    def change(row):
        for one in changes:
            one(row)

    return change


def _plain(*names):
    def change(row):
        for name in names:
            setattr(row, name, to_nfc(getattr(row, name)))

    return change


def _pairs(*names):
    def change(row):
        for name in names:
            setattr(row, f"{name}_folded", comparable.fold(getattr(row, name)))

    return change


def _folded(*names):
    def change(row):
        for name in names:
            setattr(row, name, comparable.fold(getattr(row, name)))

    return change


def _attributes(row):
    row.attributes = {to_nfc(name): _value(value) for name, value in row.attributes.items()}
    row.attributes_comparable = _comparable(row.attributes_comparable)


def _properties(row):
    row.properties_comparable = _comparable(row.properties_comparable)


def _comparable(values):
    return {_key(name): _text(value) for name, value in values.items()}


def _key(name):
    return comparable.key(unquote(name[1:]))


def _text(value):
    return comparable.of_text(value[1:]) if value.startswith(comparable.TEXT) else value


def _dated(row):
    row.name = _key(row.name)


def _note(row):
    row.order_id, row.told = to_nfc(row.order_id), _value(row.told)


def _traits(row):
    told = {}
    # Of two spellings of a name the one that was told later counts.
    for name, value in sorted(row.told.items(), key=lambda item: item[1][1]):
        told[to_nfc(name)] = [_value(part) for part in value]
    row.told = told


def _value(value):
    match value:
        case str():
            return to_nfc(value)
        case list():
            return [_value(part) for part in value]
        case dict():
            return {to_nfc(name): _value(part) for name, part in value.items()}
    return value


class Migration(migrations.Migration):
    dependencies = [("customers", "0020_mark_what_browsers_said")]

    operations = [migrations.RunPython(rewrite, migrations.RunPython.noop)]
