"""Epoch numbers: the offset of a record in `epochs` is the number, so it is unique and rises without a clock."""

import asyncio
import logging
from collections import defaultdict, deque

import msgspec

from pipeline.errors import Poison, Retry
from pipeline.ports import Clockwork, Message, Writer
from pipeline.wire.codec import decode_json, encode_json

log = logging.getLogger("gantry.capture")

REMEMBERED = 4  # epochs of a camera: ours, the one before it, and what others issued meanwhile


class EpochValue(msgspec.Struct, frozen=True):
    """What a record of `epochs` says."""

    partition: int  # of `frames` that the epoch is written to


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A new epoch."""

    epoch: int
    epoch_before: int | None
    partition_before: int | None


class Epochs:
    """The topic `epochs`, as far as it was read, and our hand to write it."""

    def __init__(self, writer: Writer, clock: Clockwork, *, again_s: float) -> None:
        self._writer, self._clock, self._again_s = writer, clock, again_s
        self._known: dict[str, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._read = -1  # the last offset read
        self._more = asyncio.Condition()

    async def note(self, message: Message) -> None:
        """A record was read."""
        if message.key is not None and not message.key.startswith(b"@") and message.value is not None:
            try:
                value: EpochValue = decode_json(message.value, EpochValue, "a record of epochs")
            except Poison as exc:
                log.warning("%s (offset %d): ignored", exc, message.offset)
            else:
                self._known[message.key.decode("utf-8", "replace")].append((message.offset, value.partition))
        async with self._more:
            self._read = message.offset
            self._more.notify_all()

    async def issue(self, camera: str, partition: int) -> Issued:
        """Get a new epoch for a camera; waits for as long as the broker is away.

        The epoch before it is the newest that anybody issued: ours is read back from the topic, and with it all
        that came before.
        """
        epoch = -1
        while epoch < 0:  # the broker may know a repeated record without its offset: ask for another
            try:
                ack = await self._writer.send(
                    "epochs", 0, key=camera.encode(), value=encode_json(EpochValue(partition))
                )
                epoch = await ack
            except Retry:
                await self._clock.sleep(self._again_s)
        async with self._more:
            await self._more.wait_for(lambda: self._read >= epoch)
        before = max((known for known in self._known[camera] if known[0] < epoch), default=None)
        return Issued(
            epoch=epoch,
            epoch_before=before[0] if before else None,
            partition_before=before[1] if before else None,
        )
