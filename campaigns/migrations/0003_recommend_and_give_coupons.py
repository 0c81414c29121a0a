"""Tables of what is bought together; the schedules that learn it and see coupons in orders; who may keep pools."""

import customers.exact
import django.db.models.deletion
from django.apps import apps as installed
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

LEARNING, REDEEMING, REDEEMING_ALL = (
    "Learn what is bought together",
    "Note coupons seen in orders",
    "Note coupons seen in any order",
)
KEEPING = ("view_pool", "add_pool", "change_pool", "delete_pool", "view_coupon")
ROLES = {"Viewer": ("view_pool",), "Marketer": KEEPING, "Administrator": KEEPING}


def schedule(apps, schema_editor):
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule").objects
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for name, task, minute in (
        (LEARNING, "campaigns.tasks.learn_products", "15"),
        (REDEEMING_ALL, "campaigns.tasks.note_all_redeemed_coupons", "30"),
    ):
        night, _ = crontabs.get_or_create(
            minute=minute, hour="3", day_of_week="*", day_of_month="*", month_of_year="*",
            timezone=settings.TIME_ZONE,
        )
        tasks.get_or_create(name=name, defaults={"task": task, "crontab": night, "expire_seconds": 3600})
    often = intervals.filter(every=10, period="minutes").first() or intervals.create(every=10, period="minutes")
    tasks.get_or_create(
        name=REDEEMING,
        defaults={"task": "campaigns.tasks.note_redeemed_coupons", "interval": often, "expire_seconds": 600},
    )


def unschedule(apps, schema_editor):
    names = (LEARNING, REDEEMING, REDEEMING_ALL)
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=names).delete()


def extend_roles(apps, schema_editor):
    # They are made after all migrations; of these models there are none yet.
    create_permissions(installed.get_app_config("campaigns"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="campaigns")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions.filter(codename__in=ROLES[group.name]))


class Migration(migrations.Migration):

    dependencies = [
        ('campaigns', '0002_carry_out_campaigns'),
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        ('segments', '0010_roles_of_tracking'),
    ]

    operations = [
        migrations.CreateModel(
            name='SoldProduct',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sku', models.CharField(max_length=255)),
                ('sku_folded', models.CharField(max_length=800, unique=True)),
                ('name', models.CharField(blank=True, default='', max_length=1000)),
                ('category', models.CharField(blank=True, default='', max_length=255)),
                ('brand', models.CharField(blank=True, default='', max_length=255)),
                ('category_folded', models.CharField(blank=True, default='', max_length=800)),
                ('brand_folded', models.CharField(blank=True, default='', max_length=800)),
                ('price', customers.exact.ExactDecimalField(default=0)),
                ('url', models.CharField(blank=True, default='', help_text='Its page in the shop, as events last told.', max_length=1000)),
                ('image', models.CharField(blank=True, default='', max_length=1000)),
                ('orders', models.PositiveBigIntegerField(help_text='In how many counting orders it was.')),
                ('learned_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['category_folded', '-orders'], name='sold_of_category'), models.Index(fields=['brand_folded', '-orders'], name='sold_of_brand'), models.Index(fields=['-orders', 'sku_folded'], name='sold_most')],
            },
        ),
        migrations.CreateModel(
            name='BoughtTogether',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('orders', models.PositiveBigIntegerField(help_text='How many orders contain both.')),
                ('lift', customers.exact.ExactDecimalField(help_text='How many times as many as there would be by chance.')),
                ('other', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='campaigns.soldproduct')),
                ('product', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='bought_with', to='campaigns.soldproduct')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('product', 'other'), name='pair_once', violation_error_message='This pair is known already.')],
            },
        ),
        migrations.RunPython(schedule, unschedule),
        migrations.RunPython(extend_roles, migrations.RunPython.noop),
    ]
