"""Quix Streams' own S3 file sink; run with the Python of `build/quix`, until SIGTERM.

`quix_sink.py SERVERS TOPIC GROUP BUCKET ENDPOINT REGION KEY_ID SECRET RECORDS`: JSON in, JSON lines
out, a checkpoint (objects, then offsets) after each RECORDS records.
"""

import io
import sys
from collections.abc import Sequence

from jsonlines import Writer
from quixstreams import Application
from quixstreams.sinks import SinkBatch
from quixstreams.sinks.community.file.formats import JSONFormat
from quixstreams.sinks.community.file.s3 import S3FileSink


class Values(JSONFormat):  # type: ignore[misc]  # its library is in another environment
    """The library's own, less the key, which it would make from a whole record where it is null."""

    def serialize(self, batch: SinkBatch) -> bytes:
        """One value a line."""
        out = io.BytesIO()
        with Writer(out, compact=True) as writer:
            writer.write_all(item.value for item in batch)
        return out.getvalue()


def main(arguments: Sequence[str]) -> None:
    """Never returns by itself."""
    servers, topic, group, bucket, endpoint, region, key_id, secret, records = arguments
    application = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=3600,
        commit_every=int(records),
        loglevel="WARNING",
    )
    sink = S3FileSink(
        bucket=bucket,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        region_name=region,
        endpoint_url=endpoint,
        format=Values(),
    )
    rows = application.dataframe(application.topic(topic, value_deserializer="json"))
    rows.sink(sink)
    application.run()


if __name__ == "__main__":
    main(sys.argv[1:])
