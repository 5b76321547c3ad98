"""A relay before the S3 server: requests pass at a fixed rate, all connections together."""

import asyncio

from tests.servers.relay import Relay

_BURST_SECONDS = 0.25
"""What an idle time saves up."""


class Throttle(Relay):
    """Answers pass as they come."""

    def __init__(self, port: int, server_port: int, bytes_per_second: float) -> None:
        super().__init__(port, server_port)
        self._rate = bytes_per_second
        self._free_at = 0.0
        """When the next byte may pass, on the event loop's clock."""

    async def _asked(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        now = asyncio.get_running_loop().time()
        at = max(self._free_at, now - _BURST_SECONDS)
        self._free_at = at + count / self._rate
        await asyncio.sleep(max(0.0, at - now))
