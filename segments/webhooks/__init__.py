"""Webhooks: notify other systems when customers enter or leave segments. See ``docs/webhooks.md``."""
