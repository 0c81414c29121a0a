"""Keep statements of consent, suppressions and requests for confirmation."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0021_write_texts_in_nfc'),
    ]

    operations = [
        migrations.CreateModel(
            name='AddressUnsubscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(blank=True, max_length=800, null=True)),
                ('digest', models.CharField(blank=True, editable=False, max_length=40, null=True)),
                ('at', models.DateTimeField()),
                ('source', models.CharField(blank=True, default='', help_text='What brought it here.', max_length=50)),
                ('way', models.CharField(choices=[('firm', 'Firm'), ('file', 'File'), ('api', 'Api'), ('browser', 'Browser'), ('confirmed', 'Confirmed')], max_length=9)),
            ],
        ),
        migrations.CreateModel(
            name='ConfirmationRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.CharField(max_length=254)),
                ('address', models.CharField(help_text='The key of the address.', max_length=800)),
                ('token', models.UUIDField(unique=True)),
                ('asked_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sending', 'Sending'), ('sent', 'Sent'), ('held_back', 'held back'), ('failed', 'Failed')], default='waiting', max_length=9)),
                ('reason', models.CharField(blank=True, default='', max_length=300)),
                ('claimed_at', models.DateTimeField(blank=True, null=True)),
                ('not_before', models.DateTimeField()),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('confirmed_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='ConsentStatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('subscribed', 'Subscribed'), ('unsubscribed', 'Unsubscribed'), ('never', 'Never'), ('pending', 'Pending')], max_length=12)),
                ('way', models.CharField(choices=[('firm', 'Firm'), ('file', 'File'), ('api', 'Api'), ('browser', 'Browser'), ('confirmed', 'Confirmed')], max_length=9)),
                ('at', models.DateTimeField(help_text='When it was made; never later than when it came in.')),
                ('address', models.CharField(blank=True, default='', help_text='The key of the address that it names.', max_length=800)),
            ],
        ),
        migrations.CreateModel(
            name='Suppression',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('address', models.CharField(blank=True, max_length=800, null=True)),
                ('digest', models.CharField(blank=True, editable=False, max_length=40, null=True)),
                ('at', models.DateTimeField()),
                ('source', models.CharField(blank=True, default='', help_text='What brought it here.', max_length=50)),
                ('reason', models.CharField(choices=[('bounced', 'the mail server says that there is no such mailbox'), ('complained', 'its owner complained about a message'), ('staff', 'staff suppressed it')], max_length=12)),
                ('detail', models.CharField(blank=True, default='', help_text='What the mail server said.', max_length=300)),
            ],
            options={
                'ordering': ('-at', '-pk'),
            },
        ),
        migrations.AddField(
            model_name='consentchange',
            name='address',
            field=models.CharField(blank=True, default='', help_text='The address that confirmed it by a link.', max_length=254),
        ),
        migrations.AddField(
            model_name='consentchange',
            name='asked_at',
            field=models.DateTimeField(blank=True, help_text='When the address was asked for, where it confirmed.', null=True),
        ),
        migrations.AddField(
            model_name='customer',
            name='email_is_trusted',
            field=models.BooleanField(db_default=True, default=True, editable=False, help_text='Whether anybody but a browser gave the address.'),
        ),
        migrations.AddField(
            model_name='customer',
            name='pending_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='When a browser asked for the newsletter; the address has not confirmed it yet.', null=True),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=models.Index(condition=models.Q(('pending_at__isnull', False)), fields=['pending_at'], name='customers_by_pending_at'),
        ),
        migrations.AddConstraint(
            model_name='addressunsubscription',
            constraint=models.UniqueConstraint(fields=('address', 'way'), name='newest_unsubscription_of_address'),
        ),
        migrations.AddConstraint(
            model_name='addressunsubscription',
            constraint=models.UniqueConstraint(fields=('digest', 'way'), name='newest_unsubscription_of_digest'),
        ),
        migrations.AddField(
            model_name='confirmationrequest',
            name='identity',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='customers.identity'),
        ),
        migrations.AddField(
            model_name='consentstatement',
            name='identity',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='customers.identity'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(fields=('address',), name='address_suppressed_once'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(fields=('digest',), name='digest_suppressed_once'),
        ),
        migrations.AddIndex(
            model_name='confirmationrequest',
            index=models.Index(fields=['address', 'sent_at'], name='confirmations_of_address'),
        ),
        migrations.AddIndex(
            model_name='confirmationrequest',
            index=models.Index(condition=models.Q(('state__in', ('waiting', 'sending'))), fields=['not_before'], name='confirmations_waiting'),
        ),
        migrations.AddConstraint(
            model_name='confirmationrequest',
            constraint=models.UniqueConstraint(fields=('identity', 'address', 'asked_at'), name='asked_once'),
        ),
        migrations.AddConstraint(
            model_name='consentstatement',
            constraint=models.UniqueConstraint(fields=('identity', 'state', 'way'), name='newest_consent_statement'),
        ),
    ]
