"""The channels there are, by their names."""

from collections.abc import Mapping
from typing import Final

from campaigns.models import Channel

from . import base
from .email import Email
from .on_site import OnSite
from .webhook import Webhook

CHANNELS: Final[Mapping[str, type[base.Channel]]] = {
    Channel.EMAIL: Email,
    Channel.ON_SITE: OnSite,
    Channel.WEBHOOK: Webhook,
}
