"""Create a key for an API client."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from customers import keys


class Command(BaseCommand):
    """Create an API key and show it, this once."""

    help = "Create an API key; the last line of the output ends with the key, which is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a name to tell the key by, and what it opens."""
        parser.add_argument("name", help="whose key it is, such as the program that uses it")
        parser.add_argument("--scopes", required=True, metavar="A,B", help=f"of {', '.join(keys.SCOPES)}")

    def handle(self, *, name: str, scopes: str, **options: Any) -> None:
        """Create and print it."""
        try:
            key, secret = keys.create(name, filter(None, map(str.strip, scopes.split(","))))
        except keys.BadScopes as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(
                "; ".join(f"{at}: {' '.join(why)}" for at, why in error.message_dict.items())
            ) from None
        self.stdout.write(
            f"{key.name} may use: {', '.join(key.scopes)}. Keep the key, it is not shown again:"
        )
        self.stdout.write(secret)
