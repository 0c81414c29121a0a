"""Files with personal data."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically. Only its owner can read it."""
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
