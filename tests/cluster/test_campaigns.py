"""Campaigns from their forecasts to their results, on a cluster."""

from tests.campaigns.test_statement_rules import *  # noqa: F403
