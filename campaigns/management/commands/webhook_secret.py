"""Tell the secret that messages to an address are signed with."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.channels import webhook
from segments.webhooks.target_addresses import InvalidAddress


class Command(BaseCommand):
    """Write the secret to standard output."""

    help = "Tell the secret by which the receiver of a campaign's webhook knows that a message is from us."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument(
            "url", help="where the step's webhook goes; all addresses of a host have one secret"
        )

    def handle(self, *, url: str, **options: Any) -> None:
        """Write it."""
        try:
            self.stdout.write(webhook.signing_secrets(url)[0])
        except InvalidAddress as error:
            raise CommandError(f"{url}: {error}") from None
