"""Files that hold personal data."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Put a content in the place of a file: whole or not at all, and for its owner alone."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
