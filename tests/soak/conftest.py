"""The bench of the integration tests."""

from tests.integration.conftest import bench

__all__ = ["bench"]
