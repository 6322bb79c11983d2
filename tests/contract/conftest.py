"""Servers that the contracts' implementations talk to."""

from tests.stores.conftest import shared_postgres, shared_redis

__all__ = ["shared_postgres", "shared_redis"]
