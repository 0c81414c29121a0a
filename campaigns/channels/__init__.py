"""How messages reach people: a module for each channel. Importing this package registers them all."""

from . import audience, email, on_site, webhook  # noqa: F401  (imported for their registration)
