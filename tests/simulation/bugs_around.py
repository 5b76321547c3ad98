"""Bugs in what stands around the cuts: uploads, room, bad records, the drain, what is assigned.

`BUGS_AROUND` has them by name; `bugs` says how they are held to be bugs.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.body_parts import PartReader
from spoolsink.consumer import GroupConsumer
from spoolsink.cut import Cut, ObjectState
from spoolsink.errors import DeadLetterAwayError, RecordError, RetryableStoreError
from spoolsink.object_store import Part, StoredObject
from spoolsink.records import Batch
from spoolsink.rotation import RotationReason
from spoolsink.uploader import Outcome, _Attempt
from tests.simulation.history import Settings
from tests.simulation.models import ModelSpool
from tests.simulation.network import Complete, NoAnswerError, Put, SendLetters, StoreRequest, ask
from tests.simulation.stand_ins import (
    ModelDelivery,
    ModelLetters,
    ModelPipeline,
    ModelUploader,
    Parts,
)
from tests.simulation.store import ModelStore

# -- uploads -------------------------------------------------------------------------------------


class TrustsDamagedSegments(ModelDelivery):
    """Uploads what the disk gives."""

    verifies_segments = False


class WritesOver(ModelStore):
    """Puts and completes without a condition."""

    async def _ask(self, request: StoreRequest) -> object:
        if isinstance(request, Put | Complete):
            request = request._replace(create_only=False)
        return await super()._ask(request)


class TakesSilenceForSuccess(ModelStore):
    """A Put without an answer counts as done."""

    async def put(self, *request: Any, **named: Any) -> None:
        with suppress(RetryableStoreError):
            await super().put(*request, **named)


class TakesASilentCompleteForSuccess(ModelStore):
    """A Complete without an answer counts as done."""

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        with suppress(RetryableStoreError):
            await super().complete(key, upload_id, parts, create_only=create_only)


class TakesAnyObjectForIts(ModelUploader):
    """A key that is taken counts as written, whatever it holds."""

    def _same_or_taken(self, found: StoredObject, attempt: _Attempt) -> Outcome:
        return Outcome.EXISTED


class CompletesWithoutALostPart(ModelUploader):
    """A part without an answer is left out."""

    async def _send_parts(self, attempt: _Attempt, upload_id: str, parts: PartReader) -> list[Part]:
        done: list[Part] = []
        number = 1
        while True:
            try:
                done.append(
                    await self._store.upload_part(attempt.key, upload_id, number, parts.body)
                )
            except RetryableStoreError:
                if parts.is_last and not done:
                    raise
            if parts.is_last:
                return done
            number += 1
            await parts.advance()


class CompletesWithPartsOfOthers(ModelUploader):
    """Goes on with an unfinished upload of the key: parts that another owner sent are kept."""

    async def _send_parts(self, attempt: _Attempt, upload_id: str, parts: PartReader) -> list[Part]:
        done = await super()._send_parts(attempt, upload_id, parts)
        uploads = self._process.world.bucket.uploads
        for other in uploads.values():
            if other.key == attempt.key and upload_id in uploads:
                uploads[upload_id].parts.update(other.parts)
        held = uploads[upload_id].parts if upload_id in uploads else {}
        return [Part(p.number, held.get(p.number, (p.etag,))[0], None) for p in done]


# -- bad records ---------------------------------------------------------------------------------


class SendsLettersWithoutWaiting(ModelLetters):
    """A dead letter that is on its way counts as acknowledged."""

    async def _sent(self, letters: SendLetters) -> None:
        async def some_time() -> None:
            with suppress(NoAnswerError):
                await ask(letters)

        self._process.world.network.start(self._process, some_time())


class PassesUnsentLetters(Appender):
    """A dead letter topic that is away costs the batch."""

    async def append(self, batch: Batch) -> bool:
        try:
            return await super().append(batch)
        except DeadLetterAwayError:
            await self.pass_by(batch.next_offset)
            return True


class StopsBehindTheBadRecord(Appender):
    """The cut that a bad record ends takes it in."""

    async def _stop(self, error: RecordError) -> None:
        assert error.offset is not None
        self.cuts.appended(error.offset + 1, 0)
        await super()._stop(error)


class ForgetsWhatStopped(Appender):
    """Reads on behind a bad record that must stop it."""

    async def _stop(self, error: RecordError) -> None:
        assert error.offset is not None
        await self.pass_by(error.offset + 1)


class DropsLetterRows(Appender):
    """Rows under a prefix are dropped where the rest of a cut is sealed."""

    async def seal(self, reason: RotationReason, *, is_stopped: bool = False) -> Cut:
        for place in [place for place in self._open if place.startswith("\0")]:
            del self._open[place]
        return await super().seal(reason, is_stopped=is_stopped)


# -- room ----------------------------------------------------------------------------------------


class IgnoresTheQuota(ModelSpool):
    """There is always room."""

    def has_room(self, extra_bytes: int, new_segments: int = 1) -> bool:
        return True


class MakesRoomInsideARepeat(Appender):
    """A full spool ends a cut that was promised to end later."""

    @property
    def may_seal(self) -> bool:
        return self.is_open

    async def seal(self, reason: RotationReason, *, is_stopped: bool = False) -> Cut:
        breaks = not self.cuts.may_end_at(self.cuts.open.position)
        return await super().seal(reason, is_stopped=is_stopped or breaks)


class NeverMakesRoom(ModelPipeline):
    """A full spool waits for uploads, though there is nothing to upload."""

    async def _make_room(self) -> None:
        """Nothing."""


class NeverResumes(ModelPipeline):
    """What was paused at the mark stays so."""

    def _may_go_on(self) -> bool:
        return False


# -- stopping, pausing, moving -------------------------------------------------------------------


class ReadsWhilePaused(ModelPipeline):
    """An operator's pause shows in the status alone."""

    async def _regulate(self, consumer: GroupConsumer) -> None:
        await super()._regulate(consumer)
        if not self._is_full:
            consumer.resume(self._appenders.keys())


class ConfirmsWhatItDrains(ModelPipeline):
    """A stop commits what is sealed, whether it is in S3 or not."""

    async def _is_drained(self) -> bool:
        for appender in self._appenders.values():
            for cut in appender.cuts.sealed:
                for target in cut.objects:
                    target.state = ObjectState.CONFIRMED
        return await super()._is_drained()


class LeavesTheFloor(ModelPipeline):
    """A stop looks at sealed cuts only."""

    async def _is_drained(self) -> bool:
        return not any(a.cuts.sealed for a in self._appenders.values())


class KeepsGatesOpen(Assignment):
    """A rebalance is no reason to stop committing what others may own by now."""

    async def revoked(self) -> None:
        self.due.clear()


class KeepsWhatIsOthers(Assignment):
    """What moved to another member stays here, open, and goes on when it comes back."""

    async def _drop_unassigned(self, consumer: GroupConsumer) -> None:
        for tp, appender in self.appenders.items():
            appender.cuts.is_gate_open = appender.cuts.is_gate_open or tp not in consumer.assigned


BUGS_AROUND: dict[str, Parts] = {
    **{
        bug.__name__: Parts(appender=bug)
        for bug in (
            PassesUnsentLetters,
            StopsBehindTheBadRecord,
            ForgetsWhatStopped,
            DropsLetterRows,
            MakesRoomInsideARepeat,
        )
    },
    **{
        bug.__name__: Parts(uploader=bug)
        for bug in (TakesAnyObjectForIts, CompletesWithoutALostPart, CompletesWithPartsOfOthers)
    },
    **{
        bug.__name__: Parts(store=bug)
        for bug in (WritesOver, TakesSilenceForSuccess, TakesASilentCompleteForSuccess)
    },
    **{
        bug.__name__: Parts(pipeline=bug)
        for bug in (
            NeverMakesRoom,
            NeverResumes,
            ReadsWhilePaused,
            ConfirmsWhatItDrains,
            LeavesTheFloor,
        )
    },
    "TrustsDamagedSegments": Parts(delivery=TrustsDamagedSegments),
    "SendsLettersWithoutWaiting": Parts(letters=SendsLettersWithoutWaiting),
    "IgnoresTheQuota": Parts(spool=IgnoresTheQuota),
    "KeepsGatesOpen": Parts(assignment=KeepsGatesOpen),
    "KeepsWhatIsOthers": Parts(assignment=KeepsWhatIsOthers),
}

WHERE: dict[str, Callable[[Settings], bool]] = {
    # A part of a cut below its floor that is no split: of another S3 partition, or not full yet.
    "UploadsAllBelowTheFloor": lambda s: s.split_records in (2, 3) and s.places > 1,
    "SendsLettersWithoutWaiting": lambda s: s.on_error == "topic",
    "PassesUnsentLetters": lambda s: s.on_error == "topic",
    "CompletesWithPartsOfOthers": lambda s: s.part_bytes is not None,
    "CompletesWithoutALostPart": lambda s: s.part_bytes is not None,
    "TakesASilentCompleteForSuccess": lambda s: s.part_bytes is not None,
}
"""Where a bug can show at all: elsewhere it is not looked for."""
