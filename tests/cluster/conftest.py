"""Skips the tests of this folder unless they run on a cluster."""

from pathlib import Path

import pytest

from tests.conftest import is_cluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not is_cluster(config):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs a PostgreSQL with Citus in CLUSTER_URL"))
