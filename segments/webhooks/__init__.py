"""Webhooks: other systems are told when customers enter or leave segments. ``docs/webhooks.md`` tells how."""
