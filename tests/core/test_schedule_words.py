"""Schedules are said in words, in the shop's time zone."""

from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from core.staff.schedule_words import crontab_words

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("minute", "hour", "day_of_week", "day_of_month", "words"),
    [
        ("30", "6", "1-5", "*", "every weekday at 06:30, shop's time"),
        ("30", "3", "*", "*", "every day at 03:30, shop's time"),
        ("0", "9,18", "mon-fri", "*", "every weekday at 09:00 and 18:00, shop's time"),
        ("0", "9", "0,6", "*", "every Saturday and Sunday at 09:00, shop's time"),
        ("0", "9", "1,3,5", "*", "every Monday, Wednesday and Friday at 09:00, shop's time"),
        ("5", "*", "*", "*", "every hour, at 5 minutes past"),
        ("0", "0", "*", "1", "at 00:00, on day 1 of the month, shop's time"),
        ("*/15", "8-18", "1", "*", "every 15 minutes, between 08:00 and 18:59, only on Monday, shop's time"),
    ],
)
def test_a_crontab_is_said_in_words(minute, hour, day_of_week, day_of_month, words):
    crontab = CrontabSchedule(
        minute=minute, hour=hour, day_of_week=day_of_week, day_of_month=day_of_month, timezone="Europe/Rome"
    )

    assert crontab_words(crontab, ZoneInfo("Europe/Rome")) == words
    elsewhere = crontab_words(crontab, ZoneInfo("Asia/Tokyo"))
    assert elsewhere == words.replace("shop's time", "in the time zone Europe/Rome")


def test_the_list_and_the_form_of_schedules_say_when_they_run():
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    task = PeriodicTask.objects.get(name="Verify all segments")

    listed = client.get(reverse("admin:django_celery_beat_periodictask_changelist")).content.decode()
    form = client.get(
        reverse("admin:django_celery_beat_periodictask_change", args=[task.pk])
    ).content.decode()

    for page in (listed, form):
        assert "every day at 03:30, shop&#x27;s time" in page
    assert "every minute" in listed
    assert "(m/h/dM/MY/d)" not in listed + form
