"""What a process needs of the world, and the configuration that it starts with."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple, Protocol, get_args

from spoolsink.records import TopicPartition
from tests.simulation.history import OnError, Settings
from tests.simulation.models import Broker, Counts, Log
from tests.simulation.network import Network
from tests.simulation.store import Bucket

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.stand_ins import Parts

_ON_ERROR = get_args(OnError)


class Surroundings(Protocol):
    """What a process needs of the world."""

    settings: Settings
    broker: Broker
    bucket: Bucket
    network: Network
    counts: Counts
    parts: "Parts"

    @property
    def logs(self) -> Mapping[TopicPartition, Log]: ...
    @property
    def topic_id(self) -> str: ...
    def monotonic(self) -> float: ...
    def wall_ms(self) -> int: ...
    def committed_was_read(self, process: "Process", tp: TopicPartition) -> None: ...
    def polled(self, process: "Process", tps: AbstractSet[TopicPartition]) -> None: ...
    def rejoin(self, process: "Process") -> None: ...


class Shape(NamedTuple):
    """The configuration of one process: the fingerprint covers `variant` and `on_error`."""

    variant: int = 0
    on_error: OnError = "skip"
    rotation: int = 0
    has_max_open: bool = False
    quota_bytes: int | None = None
    part_bytes: int | None = None

    @property
    def fingerprint(self) -> str:
        return f"{self.variant:04x}{_ON_ERROR.index(self.on_error):04x}"
