"""The secret key of an installation without SECRET_KEY: created once and stored in a file for its owner only."""

import contextlib
import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

FILE_NAME = "secret_key"


def load_or_create_secret_key(folder: Path) -> str:
    """Return the key in `folder`, and create it at the first call. Processes that start together get the same key."""
    path = folder / FILE_NAME
    try:
        if not path.exists():
            _create(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"cannot store a secret key: {error}; set SECRET_KEY") from error
    if not key:
        raise ImproperlyConfigured(f"{path} is empty: remove it or set SECRET_KEY")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates a file that only its owner can read.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key() + "\n")
        # link() is atomic, and never replaces the file of a faster process.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
