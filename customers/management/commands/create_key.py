"""Create an API key, a key for the shop's pages, or a write key for tracking."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from core.api import keys
from customers.management.arguments import parse_instant
from customers.models import Source
from customers.tracking import sources


def parse_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class Command(BaseCommand):
    """Create a key and show it once."""

    help = (
        "Create an API key (--scopes), a key for the shop's pages (--visitors), or a write key for tracking"
        " (--write). The last line of the output is the key, which cannot be shown again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the name of the key, such as the program or web shop that uses it")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--scopes",
            metavar="A,B",
            type=parse_list,
            help=f"for the API; the scopes are {', '.join(keys.SCOPES)}",
        )
        what.add_argument(
            "--visitors",
            dest="scopes",
            action="store_const",
            const=[keys.VISITORS_SCOPE],
            help="for the shop's pages: anybody can read the key, so it gives access to nothing else",
        )
        what.add_argument("--write", action="store_true", help="for the tracking endpoints")
        parser.add_argument(
            "--browser",
            action="store_true",
            help="with --write: for browsers and apps, where anybody can read the key",
        )
        parser.add_argument(
            "--expires",
            metavar="ISO",
            type=parse_instant,
            help="the key stops working then; a date means its midnight",
        )
        parser.add_argument(
            "--networks",
            metavar="A,B",
            type=parse_list,
            help="the key only works for clients of these networks, such as 192.0.2.0/24,2001:db8::/32",
        )

    def handle(self, *, name: str, write: bool, browser: bool, **options: Any) -> None:
        if browser and not write:
            raise CommandError("--browser requires --write")
        if write and (options["expires"] or options["networks"]):
            raise CommandError("--expires and --networks cannot be used with --write")
        try:
            secret = self._write_key(name, browser=browser) if write else self._api_key(name, options)
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{at}: {' '.join(why)}" for at, why in error.message_dict.items())
            ) from None
        self.stdout.write(secret)

    def _api_key(self, name: str, options: dict[str, Any]) -> str:
        key, secret = keys.create_key(
            name, options["scopes"], expires_at=options["expires"], networks=options["networks"] or ()
        )
        until = f" until {key.expires_at.isoformat()}" if key.expires_at else ""
        place = f" from {', '.join(key.networks)}" if key.networks else ""
        self.stdout.write(
            f"{key.name} may use: {', '.join(key.scopes)}{until}{place}. Store the key, it cannot be shown again:"
        )
        return secret

    def _write_key(self, name: str, *, browser: bool) -> str:
        kind = Source.Kind.BROWSER if browser else Source.Kind.SERVER
        source, secret = sources.create_source(Source(name=name, kind=kind))
        if browser:
            self.stdout.write(
                f"Signing secret of your server for customer ids (context.userHash): {source.signing_secret}"
            )
        self.stdout.write(f"{source.name} may send messages. Store the key, it cannot be shown again:")
        return secret
