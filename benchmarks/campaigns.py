"""Compare sending a campaign to a whole segment with a bare loop that renders and sends the same messages.

Both send an e-mail with text and HTML to each customer, over one connection, to a mail server on this machine that
discards it. `campaign_s` covers all of sending: starting at the date, planning, checking consent, frequency cap and
quiet hours for each message, leases, rendering, sending and recording. `bare_s` renders the same templates and sends
them, but does nothing else: if it is killed, nobody knows who got the message. `django_s` does the same with Django's
own template engine and without tracked links.

    .venv/bin/python benchmarks/campaigns.py --customers 100000
"""

import argparse
import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from datetime import time as time_of_day
from functools import partial
from typing import Any
from uuid import uuid4

import harness
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template import Context, Template

from campaigns import lifecycle
from campaigns.channels import email_layout, html_conversion
from campaigns.channels.base import OutgoingMessage
from campaigns.delivery import sender
from campaigns.journeys import progress, triggers
from campaigns.links import signed_links
from campaigns.messages import rendering
from campaigns.models import Campaign, Delivery, Journey, Step
from core.db import backends, execution
from customers.imports import csv_files
from customers.models import Customer
from customers.rows.settings import shop_settings
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_all
from segments_project.server.bundled_servers import signal_on_parent_death

CUSTOMERS = 100_000
RUNS = 3
AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
SUBJECT = "{{ first_name }}, our spring sale has begun"
TEXT = """Hello {{ first_name }},

until Sunday everything for the garden costs 20 % less: https://shop.example/garden

{% if country == "DE" %}Shipping is free in Germany.{% endif %}

See you soon,
{{ shop.name }}
"""


# -- The competitors


def send_by_campaign(campaign: Campaign) -> float:
    """Send a campaign whose date has come, as a worker does."""
    for model in (Delivery, Journey):
        execution.execute(f"DELETE FROM {model._meta.db_table}")
    Campaign.objects.filter(pk=campaign.pk).update(scheduled_until=None)
    started = time.perf_counter()
    triggers.process_triggers(AT)
    while progress.advance_journeys(AT) + sender.send_due_deliveries(AT):
        continue
    seconds = time.perf_counter() - started
    if Delivery.objects.filter(state="sent").count() != Customer.objects.count():
        raise SystemExit("not every message was sent")
    return seconds


def send_by_loop(campaign: Campaign) -> float:
    """Render and send for each customer, with our template language."""
    return send_all(campaign, lambda delivery: rendering.render(delivery, AT))


def send_by_loop_with_django_templates(campaign: Campaign) -> float:
    """Render and send for each customer, with Django's template engine."""
    shop = {"name": settings.SHOP_NAME, "url": settings.SHOP_URL, "address": settings.SHOP_ADDRESS}
    subject, text = Template(SUBJECT), Template(email_layout.add_footer(TEXT))
    html = Template(email_layout.add_frame(html_conversion.html_from_text(TEXT)))

    def write(delivery: Delivery) -> OutgoingMessage:
        customer = delivery.customer
        values = {"first_name": customer.first_name, "country": customer.country, "shop": shop}
        context = Context(values | {"unsubscribe_url": signed_links.unsubscribe_url(delivery)})
        return OutgoingMessage(subject.render(context), text.render(context), html.render(context))

    return send_all(campaign, write)


def send_all(campaign: Campaign, write: Callable[[Delivery], OutgoingMessage]) -> float:
    step = campaign.steps.get()
    started = time.perf_counter()
    mail_server = get_connection()
    mail_server.open()
    for customer in Customer.objects.filter(newsletter="subscribed").iterator():
        delivery = Delivery(campaign=campaign, step=step, customer=customer, token=uuid4())
        message = write(delivery)
        mail = EmailMultiAlternatives(
            message.subject,
            message.text,
            to=[customer.email],
            headers={
                "Message-ID": f"<{delivery.token}@shop.example>",
                **signed_links.unsubscribe_headers(delivery),
            },
            connection=mail_server,
        )
        mail.attach_alternative(message.html, "text/html")
        mail.send()
    mail_server.close()
    return time.perf_counter() - started


COMPETITORS = {
    "campaign": send_by_campaign,
    "bare": send_by_loop,
    "django": send_by_loop_with_django_templates,
}


# -- The measurement


def open_shop(customers: int) -> Campaign:
    """Create a shop with this many subscribers and a running campaign for them."""
    harness.migrate()
    harness.log(f"  filling the shop with {customers:,} customers")
    rows = "".join(
        f"c{number},c{number}@example.org,Kim {number},{('DE', 'FR', 'JP')[number % 3]},subscribed\n"
        for number in range(customers)
    )
    sheet = "customer_id,email,first_name,country,newsletter\n" + rows
    csv_files.import_file(
        csv_files.FORMATS["customers"],
        io.BytesIO(sheet.encode()),
        shop_settings(),
        on_rejected=lambda _: None,
    )
    segment = Segment(slug="readers", name="Readers", rule={"newsletter": {"is": "subscribed"}})
    segment_store.save_segment(segment)
    refresh_all()
    campaign = Campaign(
        segment=segment,
        name="Spring sale",
        trigger=Campaign.Trigger.AT,
        quiet_from=time_of_day(22),
        quiet_until=time_of_day(6),
        ends_with_order=True,
    )
    lifecycle.start(lifecycle.save_campaign(campaign, [Step(subject=SUBJECT, text=TEXT)]), AT)
    if backends.is_postgresql():
        execution.execute("VACUUM ANALYZE")
    return campaign


@contextmanager
def mail_sink() -> Iterator[None]:
    """Run a mail server that discards all messages, and configure Django to use it."""
    sink = subprocess.Popen(
        [sys.executable, "benchmarks/mail_sink.py"],
        cwd=harness.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        assert sink.stdout is not None
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", int(sink.stdout.readline())
        yield
    finally:
        sink.terminate()
        sink.wait()


def run_competitors(customers: int, times: int, profile: bool) -> dict[str, float]:
    """Run all competitors in turn on the database of this process."""
    campaign = open_shop(customers)
    with mail_sink():
        if profile:
            with harness.print_slowest_statements():
                send_by_campaign(campaign)
        return harness.time_alternately(
            {name: partial(send, campaign) for name, send in COMPETITORS.items()}, times
        )


def summarise(taken: dict[str, float], customers: int) -> dict[str, Any]:
    """Return the medians and their ratios to the bare loops."""
    return {
        **{f"{name}_s": seconds for name, seconds in taken.items()},
        "messages_per_s": round(customers / taken["campaign"]),
        "times_bare": round(taken["campaign"] / taken["bare"], 2),
        "times_django": round(taken["campaign"] / taken["django"], 2),
    }


def main() -> None:
    """Start the servers and a part for each database, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--times", type=int, default=RUNS, metavar="N", help="runs of each competitor")
    parser.add_argument("--profile", action="store_true", help="print the statements that take longest")
    options = parser.parse_args()
    if harness.is_part():
        harness.print_result(run_competitors(options.customers, options.times, options.profile))
        return
    engines = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    figures = {}
    for name in engines:
        harness.log(f"{name}: {options.customers:,} customers, {options.times} times each")
        with harness.database(name) as url:
            taken = harness.run_part(url, *sys.argv[1:])
        figures[name] = summarise(taken, options.customers)
        harness.log(f"{name}: {figures[name]}")
    harness.print_result({"benchmark": "campaigns", "customers": options.customers, **figures})


if __name__ == "__main__":
    main()
