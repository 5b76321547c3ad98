"""Multipart uploads that nobody will finish: found and aborted.

1. Of those that the store lists, only old ones under our own keys (the probe's is one): another
   member may be at work.
2. Those that our own ledger names are of a process that has ended (the spool has one owner): their
   age does not matter.
3. A sweep is a courtesy: nothing that goes wrong in it is fatal.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from spoolsink.errors import ObjectStoreError, UploadGoneError
from spoolsink.object_store import ObjectStore
from spoolsink.store_probe import probe_key

_log = logging.getLogger(__name__)


async def abort_abandoned(
    store: ObjectStore,
    *,
    prefix: str,
    is_ours: Callable[[str], bool],
    older_than: datetime,
    noted: Iterable[tuple[str, str]] = (),
) -> int:
    """How many were aborted. Errors are logged once, and end nothing.

    `prefix` is `layout.prefix`, '' for none; `is_ours` is asked about a whole key. `noted`: key
    and upload id.
    """
    sweep = _Sweep(store)
    done = set(noted)
    for key, upload_id in sorted(done):
        await sweep.abort(key, upload_id)
    try:
        async for found in store.list_uploads(f"{prefix}/" if prefix else ""):
            if found.initiated >= older_than or (found.key, found.upload_id) in done:
                continue
            if found.key == probe_key(prefix) or is_ours(found.key):
                await sweep.abort(found.key, found.upload_id)
    except ObjectStoreError as error:
        sweep.failed(error)
    return sweep.aborted_count


class _Sweep:
    """One sweep's count, and whether it has complained."""

    def __init__(self, store: ObjectStore) -> None:
        self.aborted_count = 0
        self._store = store
        self._has_warned = False

    async def abort(self, key: str, upload_id: str) -> None:
        try:
            await self._store.abort(key, upload_id)
        except UploadGoneError:
            return
        except ObjectStoreError as error:
            self.failed(error)
        else:
            self.aborted_count += 1

    def failed(self, error: ObjectStoreError) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("unfinished multipart uploads stay for now: %s", error)
