"""An object many times larger than what the sink may keep in memory.

The same with 5 GiB is `make large`; its figures are in benchmarks/README.md.
"""

from pathlib import Path

import pytest

from benchmarks.large import MIB, data_of, measure_large
from benchmarks.runs import Servers
from tests.servers.processes import KafkaServer, S3Server

SIZE_MIB = 160
PART_MIB = 5
PROBE_REQUESTS = {"CreateMultipartUpload": 1, "UploadPart": 1, "CompleteMultipartUpload": 1}


@pytest.mark.timeout(240)
def test_one_s3_partition_is_uploaded_in_parts_with_memory_that_does_not_grow_with_it(
    kafka: KafkaServer, s3: S3Server, tmp_path: Path
) -> None:
    servers = Servers(kafka, s3, tmp_path)
    found = measure_large(data_of(SIZE_MIB), PART_MIB * MIB, servers)
    assert found.problems == []
    assert found.object_bytes == SIZE_MIB * MIB
    # 102 MiB with 5 GiB; in the connector's way the object's parts alone would not fit.
    assert found.rss_high_water_bytes < 135 * MIB
    assert found.spool_peak_bytes < (SIZE_MIB + 2) * MIB
    sent = {name: found.requests[name] - asked for name, asked in PROBE_REQUESTS.items()}
    parts = SIZE_MIB // PART_MIB
    assert sent == {"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1}
