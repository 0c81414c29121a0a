"""All kinds of work, on a cluster: files, messages, refreshes, pages, campaigns, webhooks, audiences, erasures."""

from tests.test_statement_rules_hold import *  # noqa: F403
