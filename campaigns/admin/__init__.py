"""What staff see of campaigns."""

from . import pools

__all__ = ["pools"]
