"""Exports and erasures of customers, on a cluster."""

from tests.customers.test_privacy import *  # noqa: F403
