"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def client_port() -> int:
    """Where the cluster takes Ray Clients."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture
def cluster(client_port: int) -> Iterator[Any]:
    """A head without CPUs; nodes are added by the test. A dead node is noticed within seconds."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "ray_client_server_port": client_port,
        "_system_config": quick,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
