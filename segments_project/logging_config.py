"""Logging: structlog for every logger, on standard error. Standard output is for results of commands."""

import re
from typing import Any, Final

import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, Processor, WrappedLogger

# The signature lets anybody act for its owner: choose a password, confirm or cancel the newsletter.
_SIGNED_LINK: Final = re.compile(r"(/admin/password/choose/[^/\s]+/|/(?:go|confirm|unsubscribe)/)[^/\s\"'?]+")


def configure_logging(*, level: str, as_json: bool) -> dict[str, Any]:
    """Configure structlog and return Django's LOGGING."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder()],
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    remove_link_signatures,
                    *rendering,
                ],
            }
        },
        "handlers": {
            # StreamHandler's default is standard error.
            "stderr": {"class": "logging.StreamHandler", "formatter": "structured"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Replaces Django's defaults: a console handler, and mail to admins.
            "django": {"handlers": ["stderr"], "level": level, "propagate": False},
            "django.server": {"handlers": ["stderr"], "level": level, "propagate": False},
        },
    }


def remove_link_signatures(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Remove the signatures of signed links from an event."""
    for key, value in event.items():
        if isinstance(value, str | HttpRequest):
            event[key] = _SIGNED_LINK.sub(r"\1…", value if isinstance(value, str) else repr(value))
    return event
