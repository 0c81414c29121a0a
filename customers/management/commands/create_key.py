"""Create a key for an API client, or a write key for a tracking client."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from customers import keys
from customers.models import Source
from customers.tracking import sources


class Command(BaseCommand):
    """Create a key and show it, this once."""

    help = (
        "Create an API key (--scopes), or a write key for tracking (--write);"
        " the last line of the output ends with the key, which is not shown again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a name to tell the key by, and what it opens."""
        parser.add_argument("name", help="whose key it is, such as the program or the web shop that uses it")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--scopes", metavar="A,B", help=f"for the API: of {', '.join(keys.SCOPES)}")
        what.add_argument("--write", action="store_true", help="for the tracking endpoints")
        parser.add_argument("--browser", action="store_true", help="with --write: everybody can read the key")

    def handle(self, *, name: str, scopes: str | None, write: bool, browser: bool, **options: Any) -> None:
        """Create and print it."""
        if browser and not write:
            raise CommandError("--browser goes with --write")
        try:
            secret = self._write_key(name, browser=browser) if write else self._api_key(name, scopes or "")
        except keys.BadScopes as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{at}: {' '.join(why)}" for at, why in error.message_dict.items())
            ) from None
        self.stdout.write(secret)

    def _api_key(self, name: str, scopes: str) -> str:
        key, secret = keys.create(name, filter(None, map(str.strip, scopes.split(","))))
        self.stdout.write(
            f"{key.name} may use: {', '.join(key.scopes)}. Keep the key, it is not shown again:"
        )
        return secret

    def _write_key(self, name: str, *, browser: bool) -> str:
        kind = Source.Kind.BROWSER if browser else Source.Kind.SERVER
        source, secret = sources.create(Source(name=name, kind=kind))
        if browser:
            self.stdout.write(
                f"Your server signs customer ids (context.userHash) with: {source.signing_secret}"
            )
        self.stdout.write(f"{source.name} may send messages. Keep the key, it is not shown again:")
        return secret
