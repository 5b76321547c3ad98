"""What a soak produces: every record follows from its topic partition and number.

So what S3 must hold is known without Kafka, whose retention is short. A producer without
transactions and with idempotence numbers its records as Kafka does: number and offset are one.
"""

import random
import threading
from collections.abc import Iterator

from confluent_kafka import Producer

_SEED = 20260131
_TEXT_BYTES = 8 << 20
_COLD_PLACES = 50
_STRIDE = 2 * _COLD_PLACES
_TURN = 200
"""Records of one topic partition before the next has its turn."""
_WAIT_SECONDS = 0.02
_FLUSH_SECONDS = 60.0
HOT = "hot"


class Load:
    """Records of `value_bytes` bytes; every other one lies in one S3 partition, the rest in 50.

    The hot S3 partition makes objects of several parts, the others small ones.
    """

    def __init__(self, value_bytes: int) -> None:
        # Hexadecimal digits: a compressor halves them, and no more.
        self._text = random.Random(_SEED).randbytes(_TEXT_BYTES).hex().encode()
        self._value_bytes = value_bytes

    def value(self, partition: int, number: int) -> bytes:
        """Of one record."""
        head = b'{"n":%d,"place":"%s","text":"' % (number, place_of(number).encode())
        start = (number * 7919 + partition * 104_729) % (len(self._text) - self._value_bytes)
        end = start + self._value_bytes - len(head) - 2
        return b'%s%s"}' % (head, self._text[start:end])

    def rows(self, partition: int, numbers: Iterator[int] | range) -> bytes:
        """As JSON lines."""
        return b"".join(self.value(partition, number) + b"\n" for number in numbers)


def place_of(number: int) -> str:
    """The value of the field that names the S3 partition."""
    return f"{number % _STRIDE // 2:02d}" if number % 2 else HOT


def numbers_of(place: str, first: int, count: int) -> range:
    """So many records of an S3 partition, from `first` on."""
    step = 2 if place == HOT else _STRIDE
    return range(first, first + count * step, step)


class PacedProducer:
    """Produces at full rate in a thread until it is `backlog_bytes` ahead of its reader."""

    def __init__(
        self, load: Load, bootstrap_servers: str, topic: str, *, partitions: int, backlog_bytes: int
    ) -> None:
        self.counts = [0] * partitions
        """Records of each topic partition so far; final after `stop`."""
        self.read_bytes = 0
        """Of values, that the reader has read: told from outside."""
        self._produced_bytes = 0
        self._load = load
        self._topic = topic
        self._backlog_bytes = backlog_bytes
        self._stopping = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "compression.type": "lz4",
                "linger.ms": 50,
                "log_level": 3,
                "enable.idempotence": True,
            }
        )
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Return when everything is acknowledged; RuntimeError where that does not come."""
        self._stopping.set()
        self._thread.join()
        if self._producer.flush(_FLUSH_SECONDS):
            raise RuntimeError("Kafka did not take all records")

    def _run(self) -> None:
        while True:
            for partition in range(len(self.counts)):
                while self._produced_bytes - self.read_bytes >= self._backlog_bytes:
                    if self._stopping.wait(_WAIT_SECONDS):
                        return
                if self._stopping.is_set():
                    return
                self._send(partition)

    def _send(self, partition: int) -> None:
        first = self.counts[partition]
        for number in range(first, first + _TURN):
            value = self._load.value(partition, number)
            while True:
                try:
                    self._producer.produce(self._topic, value, partition=partition)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._produced_bytes += len(value)
        self._producer.poll(0)
        self.counts[partition] = first + _TURN
