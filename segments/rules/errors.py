"""The error of an invalid rule."""


class RuleError(ValueError):
    """A rule is invalid. ``path`` names the place, such as ``rule.any[0].order_count.at_least``."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
