"""Schedules in words: ``every weekday at 06:30, shop's time``."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from celery.schedules import ParseException
from celery.schedules import crontab as parse_crontab
from cron_descriptor import ExpressionDescriptor, Options
from cron_descriptor.Exception import FormatException, MissingFieldException, WrongArgumentException
from django.utils.timezone import localtime
from django_celery_beat.models import CrontabSchedule, PeriodicTask

DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ANY: Final = "*"


def task_words(task: PeriodicTask, zone: ZoneInfo) -> str:
    """Describe when a task runs; ``zone`` is the shop's time zone."""
    if task.crontab:
        return crontab_words(task.crontab, zone)
    if task.clocked:
        at = localtime(task.clocked.clocked_time, zone)
        return f"once, on {at.day} {at:%B %Y} at {at:%H:%M}, shop's time"
    return str(task.interval or task.solar or "never")


def crontab_words(crontab: CrontabSchedule, zone: ZoneInfo) -> str:
    """Describe a crontab in the time zone that it is in. At each hour, the time zone does not matter."""
    is_hourly = (crontab.hour, crontab.day_of_week, crontab.day_of_month, crontab.month_of_year) == (
        _ANY,
    ) * 4
    times = _times(crontab)
    return times if is_hourly else f"{times}, {_zone_words(str(crontab.timezone), zone)}"


def _times(crontab: CrontabSchedule) -> str:
    if crontab.day_of_month == crontab.month_of_year == _ANY and crontab.minute.isdecimal():
        minute, days = int(crontab.minute), _days(crontab.day_of_week)
        hours = crontab.hour.split(",")
        if days and all(hour.isdecimal() for hour in hours):
            return f"{days} at {_listed([f'{int(hour):02}:{minute:02}' for hour in hours])}"
        if days and crontab.hour == _ANY:
            on = "" if days == "every day" else f" {days}"
            return f"every hour{on}, at {minute} minute{'' if minute == 1 else 's'} past"
    return _described(crontab)


def _days(day_of_week: str) -> str:
    try:
        parsed: Any = parse_crontab(day_of_week=day_of_week)
        days = sorted(parsed.day_of_week)
    except (ParseException, ValueError):
        return ""
    match days:
        case [0, 1, 2, 3, 4, 5, 6]:
            return "every day"
        case [1, 2, 3, 4, 5]:
            return "every weekday"
        case [0, 6]:
            return "every Saturday and Sunday"
    return f"every {_listed([DAYS[day] for day in days])}"


def _described(crontab: CrontabSchedule) -> str:
    options = Options()
    options.use_24hour_time_format = True
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    expression = " ".join(getattr(crontab, name).replace(" ", "") for name in fields)
    try:
        words: str = ExpressionDescriptor(expression, options).get_description()
    except (FormatException, MissingFieldException, WrongArgumentException):
        return expression
    return words[:1].lower() + words[1:]


def _zone_words(name: str, zone: ZoneInfo) -> str:
    return "shop's time" if name == zone.key else f"in the time zone {name}"


def _listed(words: list[Any]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
