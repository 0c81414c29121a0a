"""The schedules of background work: which task Celery beat sends when.

``migrate`` creates each schedule once. Changes by staff in the admin (*Schedules*) stay. Times are in the shop's time
zone.
"""

from datetime import timedelta
from typing import Final

from celery.schedules import crontab

from core.staff.schedules import Schedule

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)

SCHEDULES: Final = (
    # -- All day. A wake-up starts most of this work earlier, and the schedule catches what a lost wake-up missed.
    # Answers that change only because time passes depend on the schedule of refresh_all.
    Schedule(
        name="Process tracked messages",
        task="customers.tasks.drain_inbox",
        when=MINUTE,
        expires=MINUTE,
        purpose="Processes tracked messages that wait in the inbox.",
    ),
    Schedule(
        name="Run imports",
        task="customers.tasks.run_imports",
        when=MINUTE,
        expires=MINUTE,
        purpose="Imports the files that staff uploaded.",
    ),
    Schedule(
        name="Read dates in the shop's time zone",
        task="customers.tasks.reread_dates_of_attributes",
        when=MINUTE,
        expires=MINUTE,
        purpose="Reads the dates of attributes again after the shop's time zone was changed.",
    ),
    Schedule(
        name="Refresh all active segments",
        task="segments.tasks.refresh_all",
        when=MINUTE,
        expires=MINUTE,
        purpose="Updates the members of all active segments.",
    ),
    Schedule(
        name="Compute histories of segments",
        task="segments.tasks.compute_histories",
        when=MINUTE,
        expires=MINUTE,
        purpose="Computes the histories that staff asked for, and goes on with those whose worker stopped.",
    ),
    Schedule(
        name="Send webhook messages",
        task="segments.tasks.deliver_webhooks",
        when=MINUTE,
        expires=MINUTE,
        purpose="Sends webhook messages that are due, also those that failed before.",
    ),
    Schedule(
        name="Run campaigns",
        task="campaigns.tasks.run_campaigns",
        when=MINUTE,
        expires=MINUTE,
        purpose="Starts journeys, runs the steps that are due and sends their messages.",
    ),
    Schedule(
        name="Record used coupons (recent orders)",
        task="campaigns.tasks.mark_redeemed_coupons",
        when=10 * MINUTE,
        expires=10 * MINUTE,
        purpose="Records which coupons the orders of the last three days used.",
    ),
    Schedule(
        name="Delete old API responses",
        task="core.tasks.delete_old_idempotent_responses",
        when=crontab(minute="5"),
        expires=30 * MINUTE,
        purpose="Deletes stored responses that no repeated request can ask for any more.",
    ),
    Schedule(
        name="Delete old refused messages",
        task="customers.tasks.delete_old_refused_messages",
        when=crontab(minute="20"),
        expires=30 * MINUTE,
        purpose="Deletes refused messages that were kept for long enough.",
    ),
    # -- At night
    Schedule(
        name="Prepare the storage of events",
        task="customers.tasks.maintain_event_partitions",
        when=crontab(hour="2", minute="0"),
        expires=HOUR,
        purpose="Creates the partitions of the coming months, where the database stores events by month.",
    ),
    Schedule(
        name="Delete files of old imports",
        task="customers.tasks.delete_old_import_files",
        when=crontab(hour="2", minute="15"),
        expires=HOUR,
        purpose="Deletes the uploaded files of imports that ended long ago.",
    ),
    Schedule(
        name="Delete old refreshes",
        task="segments.tasks.delete_old_refreshes",
        when=crontab(hour="2", minute="30"),
        expires=HOUR,
        purpose="Deletes old refreshes that changed nothing.",
    ),
    Schedule(
        name="Remove ids of erased customers",
        task="segments.tasks.delete_erased_ids",
        when=crontab(hour="2", minute="45"),
        expires=HOUR,
        purpose="Removes the ids of customers who were erased long ago from the log of changes.",
    ),
    Schedule(
        name="Delete old changes",
        task="segments.tasks.delete_old_changes",
        when=crontab(hour="3", minute="15"),
        expires=HOUR,
        purpose="Deletes changes that are older than the log is kept for.",
    ),
    Schedule(
        name="Delete old webhook messages",
        task="segments.tasks.delete_old_webhook_messages",
        when=crontab(hour="3", minute="15"),
        expires=HOUR,
        purpose="Deletes webhook messages that were delivered long ago.",
    ),
    Schedule(
        name="Compute recommendations",
        task="campaigns.tasks.learn_products",
        when=crontab(hour="3", minute="15"),
        expires=HOUR,
        purpose="Computes which products are sold and bought together, for recommendations.",
    ),
    Schedule(
        name="Verify all segments",
        task="segments.tasks.verify_segments",
        when=crontab(hour="3", minute="30"),
        expires=HOUR,
        purpose="Compares the members of every segment with the records.",
    ),
    Schedule(
        name="Record used coupons (all orders)",
        task="campaigns.tasks.mark_all_redeemed_coupons",
        when=crontab(hour="3", minute="30"),
        expires=HOUR,
        purpose="Records which coupons any order used, and reopens those that only cancelled orders used.",
    ),
)

# Tasks without a schedule: code sends them when there is work. A test fails for a task that is in neither list.
UNSCHEDULED_TASKS: Final = {
    "segments.tasks.refresh_pending": "refreshes when something was recorded",
    "segments.tasks.count_rule": "counts a rule that a person is editing",
    "segments.tasks.compute_flow": "computes a flow that takes too long for a page",
    "segments.tasks.refresh_segment": "refreshes a segment that was saved, or that a person or the API asks for",
}
