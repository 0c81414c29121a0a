"""Print the secret that signs the webhook messages of campaigns to a host."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from campaigns.channels import webhook
from segments.webhooks.target_addresses import InvalidAddress


class Command(BaseCommand):
    """Write the secret to standard output."""

    help = "Print the secret that signs the webhook messages of campaigns to a host."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="the URL of the step; all URLs of a host have one secret")

    def handle(self, *, url: str, **options: Any) -> None:
        try:
            self.stdout.write(webhook.signing_secrets(url)[0])
        except InvalidAddress as error:
            raise CommandError(f"{url}: {error}") from None
