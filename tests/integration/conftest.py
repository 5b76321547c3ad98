"""One bench for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Bench
from tests.servers.processes import KafkaServer, S3Server


@pytest.fixture
def bench(kafka: KafkaServer, s3: S3Server, tmp_path: Path) -> Iterator[Bench]:
    """With a bucket; sinks that are left running are killed."""
    found = Bench(kafka, s3, tmp_path)
    found.make_bucket()
    yield found
    found.close()
