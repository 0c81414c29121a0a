"""Write coupon codes in NFC; where a code of that spelling is there already, the old one stays."""

from django.db import migrations

from customers import comparable
from customers.text_cleaning import to_nfc


def rewrite(apps, schema_editor):
    coupons = apps.get_model("campaigns", "Coupon").objects
    for one in coupons.filter(code__regex=r"[^\x01-\x7f]").only("code", "code_folded").iterator(1_000):
        code, folded = to_nfc(one.code), comparable.fold(one.code)
        if folded != one.code_folded and coupons.filter(code_folded=folded).exists():
            continue
        if (code, folded) != (one.code, one.code_folded):
            coupons.filter(pk=one.pk).update(code=code, code_folded=folded)


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0007_members_at_the_start_and_done"),
        ("customers", "0021_write_texts_in_nfc"),
    ]

    operations = [migrations.RunPython(rewrite, migrations.RunPython.noop)]
