"""Events are stored by month on a cluster, too."""

from tests.customers.test_event_partitions import *  # noqa: F403
