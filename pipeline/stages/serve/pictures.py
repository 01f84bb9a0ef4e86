"""Pictures for people who look: the log of frames is read only while somebody does.

A camera is looked at from the first question until nobody has asked for a while. One reader follows each partition
of `frames` in which a looked-at camera lies, however many people look; the last pictures of these cameras are kept in
a bounded memory, so that a page can ask for the very picture whose tracks it has.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, cast

from pipeline.core.model import Placement
from pipeline.errors import Fatal, Poison, Retry
from pipeline.ports import Clockwork, LogReader, Message, Meter, NoPicture, Still
from pipeline.stages.serve.policy import ServePolicy
from pipeline.wire.codec import decode_header, decode_json

log = logging.getLogger("gantry.serve")

WATCH_S = 1.0

Place = tuple[str, int, int]
"""A picture: camera, epoch, seq."""


class Look:
    """What is known of one camera that is looked at.

    Attributes:
        asked: when somebody asked last, in monotonic seconds.
        newest: its newest picture.
        blind: it shows boxes and has no pixels.
        current: its partition was read to the end since somebody began to look: `newest` is not an old one.
        failed: why its log cannot be read.
        changed: is set, and replaced by a fresh one, whenever something is new.
    """

    def __init__(self, asked: float) -> None:
        self.asked = asked
        self.partition: int | None = None
        self.newest: Still | None = None
        self.blind = self.current = False
        self.failed: Fatal | None = None
        self.changed = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits for news of this camera."""
        self.changed.set()
        self.changed = asyncio.Event()


class LivePictures:
    """The port `Pictures`, from the topic `frames`. Close it in the end.

    Memory: `policy.pictures_bytes`, and one picture of each camera that is looked at.
    """

    def __init__(self, *, logs: LogReader, meter: Meter, clock: Clockwork, policy: ServePolicy) -> None:
        self._logs, self._meter, self._clock, self._policy = logs, meter, clock, policy
        self._looks: dict[str, Look] = {}
        self._kept: OrderedDict[Place, Still] = OrderedDict()
        self._bytes = 0
        self._placed: dict[str, int] = {}
        self._more = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def picture(self, camera: str, exactly: tuple[int, int] | None = None) -> Still | NoPicture:
        """The newest picture of a camera, or that of one (epoch, seq); see `ports.Pictures`."""
        deadline = self._clock.monotonic() + self._policy.picture_wait_s
        while True:
            look = self._look_at(camera)
            changed = look.changed
            if (answer := self._answer(camera, look, exactly)) is not None:
                return answer
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return NoPicture(f"no picture of camera {camera!r} came within {self._policy.picture_wait_s:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await changed.wait()
            if look.failed is not None:
                raise look.failed

    def watched(self) -> list[str]:
        """The cameras that are looked at, by id."""
        return sorted(self._looks)

    async def close(self) -> None:
        """End all reading."""
        self._looks.clear()
        self._more.set()
        while tasks := set(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _answer(self, camera: str, look: Look, exactly: tuple[int, int] | None) -> Still | NoPicture | None:
        """What can be said now; None: wait for more."""
        if look.blind:
            return NoPicture(f"camera {camera!r} has no pixels: it is simulated and shows boxes only")
        newest = look.newest
        if exactly is None:
            return newest if look.current else None
        if (still := self._kept.get((camera, *exactly))) is not None:
            return still
        if newest is not None and newest.header.order > exactly:
            return NoPicture(f"picture {exactly[0]}-{exactly[1]} of camera {camera!r} is not kept (any more)")
        return None

    # --- who looks

    def _look_at(self, camera: str) -> Look:
        now = self._clock.monotonic()
        look = self._looks.get(camera)
        if look is None:
            look = self._looks[camera] = Look(now)
            self._more.set()
        look.asked = now
        if self._watch is None:
            self._watch = self._start(self._watching())
        return look

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watching(self) -> None:
        """Read what is looked at, until nothing is."""
        readers: dict[int | None, asyncio.Task[None]] = {None: self._start(self._follow_placement())}
        try:
            while self._looks:
                self._settle(readers)
                self._more.clear()
                waiter = asyncio.ensure_future(self._more.wait())
                try:
                    await asyncio.wait(
                        {waiter, *readers.values()}, timeout=WATCH_S, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    waiter.cancel()
                if failed := next((task for task in readers.values() if task.done()), None):
                    self._fail(failed)
        finally:
            self._watch = None  # who comes now starts anew
            self._meter.gauge("watched_cameras", 0)
            self._kept.clear()
            self._bytes = 0
            for task in readers.values():
                task.cancel()

    def _settle(self, readers: dict[int | None, asyncio.Task[None]]) -> None:
        """Forget cameras that nobody asked for lately; start and end readers as the others want it."""
        oldest = self._clock.monotonic() - self._policy.look_s
        for camera in [camera for camera, look in self._looks.items() if look.asked < oldest]:
            del self._looks[camera]
            self._drop(camera)
        for camera, look in self._looks.items():
            if look.partition != (partition := self._placed.get(camera)):
                look.partition, look.current = partition, False
        wanted = {look.partition for look in self._looks.values() if look.partition is not None}
        for partition in [p for p in readers if p is not None and p not in wanted]:
            readers.pop(partition).cancel()
        for partition in wanted - readers.keys():
            readers[partition] = self._start(self._follow(partition))
        self._meter.gauge("watched_cameras", len(self._looks))

    def _fail(self, task: asyncio.Task[None]) -> None:
        """A reader ended, which none does while all is well: everybody who waits hears it, who comes next tries again."""
        error = None if task.cancelled() else task.exception()
        failed = error if isinstance(error, Fatal) else Fatal(f"reading the pictures ended: {error}")
        for look in self._looks.values():
            look.failed = failed
            look.tell()
        self._looks.clear()

    # --- what is read

    async def _follow_placement(self) -> None:
        async with aclosing(self._following("placement", {}, None)) as messages:
            async for message in messages:
                if message is None or message.key is None:
                    continue
                camera = message.key.decode("utf-8", "replace")
                if message.value is None:
                    self._placed.pop(camera, None)
                else:
                    with suppress(Poison):  # whoever writes it is told by capture, which reads it, too
                        self._placed[camera] = decode_json(message.value, Placement, "a placement").partition
                if camera in self._looks:
                    self._more.set()

    async def _follow(self, partition: int) -> None:
        """Keep the pictures of looked-at cameras of one partition, from a little before its end."""
        start = max(0, (await self._ends())[partition] - self._policy.picture_lookback)
        current = False
        async with aclosing(self._following("frames", {partition: start}, partition)) as messages:
            async for message in messages:
                current = current or message is None
                if message is not None:
                    self._take(message)
                if current:
                    self._say_current(partition)

    def _say_current(self, partition: int) -> None:
        for look in self._looks.values():
            if look.partition == partition and not look.current:
                look.current = True
                look.tell()

    async def _ends(self) -> dict[int, int]:
        while True:
            try:
                return await self._logs.ends("frames")
            except Retry as exc:
                log.warning("%s; trying again in %g s", exc, self._policy.retry_s)
                await self._clock.sleep(self._policy.retry_s)

    def _following(
        self, topic: str, starts: dict[int, int], partition: int | None
    ) -> AsyncGenerator[Message | None, None]:
        partitions = None if partition is None else [partition]
        followed = self._logs.follow(topic, starts, partitions=partitions)
        return cast("AsyncGenerator[Message | None, None]", followed)  # they are; the port promises less

    def _take(self, message: Message) -> None:
        look = self._looks.get((message.key or b"").decode("utf-8", "replace"))
        if look is None:
            return
        try:
            kind, header = decode_header(message.headers)
        except Poison:
            return  # detect puts it aside
        if kind == "boxes":
            look.blind, look.newest = True, None
            look.tell()
        elif kind == "frame" and message.value is not None:
            still = Still(header, message.value)
            look.blind = False
            if look.newest is None or look.newest.header.order < header.order:
                look.newest = still
            self._keep((header.camera, *header.order), still)
            look.tell()

    def _keep(self, place: Place, still: Still) -> None:
        if place in self._kept:
            return
        self._kept[place] = still
        self._bytes += len(still.jpeg)
        while self._bytes > self._policy.pictures_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1].jpeg)

    def _drop(self, camera: str) -> None:
        for place in [place for place in self._kept if place[0] == camera]:
            self._bytes -= len(self._kept.pop(place).jpeg)


__all__ = ["LivePictures"]
