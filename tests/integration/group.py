"""A sink's group, asked and changed from outside, as Kafka's own tools do it."""

from collections.abc import Mapping
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from tests.integration.harness import Bench


class Group:
    """Of one bench's sinks; `admin` for what else has to be done to their topics."""

    def __init__(self, bench: Bench) -> None:
        self._name, self._servers = bench.group, bench.kafka.bootstrap_servers
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)

    async def __aenter__(self) -> Self:
        await self.admin.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.admin.close()

    async def is_empty(self) -> bool:
        """It has no member."""
        return not await self._members()

    async def _members(self) -> list[str]:
        answers = await self.admin.describe_consumer_groups([self._name])
        return [member[0] for member in answers[0].groups[0][5]]

    async def remove_members(self) -> None:
        """What Kafka's admin client sends for removeMembersFromConsumerGroup."""
        coordinator = await self.admin.find_coordinator(self._name)
        for member in await self._members():
            await self.admin._send_request(LeaveGroupRequest(self._name, member), coordinator)

    async def reset(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As kafka-consumer-groups.sh does it; Kafka refuses where there are members."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, group_id=self._name, enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign(list(offsets))
            await consumer.commit(dict(offsets))
        finally:
            await consumer.stop()
