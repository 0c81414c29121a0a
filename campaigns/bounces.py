"""Addresses at which nobody is, as mail servers and providers say: they get no more messages."""

from datetime import datetime

import structlog

log = structlog.get_logger(__name__)


def suppress(address: str, at: datetime, answer: str) -> None:
    """Let no more messages go to an address, since there is no mailbox."""
    log.info("address_bounced", at=at.isoformat(), answer=answer)
