"""The secret key of a shop that has not set one: made once, then kept in a file that only its owner reads."""

import contextlib
import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

FILE_NAME = "secret_key"


def load_or_create_secret_key(folder: Path) -> str:
    """The key kept in `folder`, made at the first call; processes that start together get the same one."""
    path = folder / FILE_NAME
    try:
        if not path.exists():
            _make(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"cannot keep a secret key: {error}; set SECRET_KEY") from error
    if not key:
        raise ImproperlyConfigured(f"{path} is empty: remove it or set SECRET_KEY")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file readable by its owner only.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key() + "\n")
        # A link appears with its content or not at all, and never replaces the file of who was faster.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
