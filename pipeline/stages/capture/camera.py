"""One camera of capture: the connection that makes pictures, and the log that tells of them.

    connecting -> live -> stalled -> backoff -> connecting ...        (a file that ended: ended, and closed)

Two halves with the backlog between them. The connection puts pictures into it and never waits for the broker;
the writer takes them out, gives each record its place (epoch, seq) and hands it over. A picture that waits has
no place yet, so whatever memory cannot hold becomes a gap record, not a hole in the numbers.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import cast

import msgspec

from pipeline.core.backlog import Backlog, Lost, Waiting
from pipeline.core.model import (
    Body,
    Boxes,
    Camera,
    CameraState,
    Clock,
    Closed,
    Frame,
    Gap,
    GapReason,
    Header,
    Opened,
    Record,
    Scene,
    Shown,
    Size,
    Tick,
)
from pipeline.errors import Fatal, Poison, Retry
from pipeline.ports import Clockwork, Meter, Picture, Source, Writer
from pipeline.stages.capture.epochs import Epochs
from pipeline.stages.capture.refusals import Refusals
from pipeline.wire.codec import Encoded, encode_record

log = logging.getLogger("gantry.capture")

CANCEL_AGAIN_S = 1.0
PICTURE_OVERHEAD_BYTES = 1024  # what a waiting picture costs beside what it shows
BOX_BYTES = 256  # of one box in memory: five floats, a word that is shared, and their places in lists


class CapturePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How patient capture is, and how much may wait."""

    backlog_bytes: int = 256 * 1024 * 1024  # pictures of all cameras: over 30 s of 4 cameras at 15 a second
    unacknowledged: int = 32  # records of one camera under way to the broker
    ahead: int = 64  # pictures a file without a pace may be ahead of the broker
    tick_s: float = 1.0
    quiet_s: float = 2.0  # without a picture for so long a camera is stalled (or 3 periods of a slow one)
    keyframe_s: float = 20.0  # `opened` and `scene` again, well below the retention of frames
    backoff_first_s: float = 1.0  # doubles with each failure
    backoff_most_s: float = 60.0
    steady_s: float = 30.0  # a connection that lasted so long makes its camera's past failures forgotten
    send_again_s: float = 1.0  # the wait before a record the client did not take is offered again
    silence_s: float = 5.0  # without an acknowledgement for so long we say that the broker is away
    refused_again_s: float = 30.0  # between two words about records that the broker refuses
    stop_s: float = 5.0  # for the last records when a camera is let go


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known of a picture that begins an epoch."""

    source_size: Size
    clock: Clock
    first_ms: int
    opening: bool  # the first picture of a connection
    restarts: bool


class Pen(msgspec.Struct):
    """What all cameras of one process write with."""

    writer: Writer
    epochs: Epochs
    backlog: Backlog[Picture, Begin]
    meter: Meter
    clock: Clockwork
    policy: CapturePolicy
    log_id: str


class _Sent(msgspec.Struct):
    """A record under way."""

    encoded: Encoded
    partition: int
    captured_ms: int | None  # of a frame
    sent_at: float
    ack: "asyncio.Future[int]"


class CameraRun:
    """Runs one camera until it is stopped, or its file ends.

    Args:
        camera: as the registry has it.
        partition: of `frames`, by its placement.
        scene: what its pictures are measured by, None if nothing was drawn.
        source: opens it.
        pen: what to write with.
    """

    def __init__(self, camera: Camera, partition: int, scene: Scene | None, *, source: Source, pen: Pen) -> None:
        self.camera, self._source, self._pen = camera, source, pen
        self._clock, self._meter, self._policy = pen.clock, pen.meter, pen.policy
        # what the registry wants
        self._placed, self._scene = partition, scene
        self._scene_changed = False
        # the connection
        self.state: CameraState | None = None
        self._fed_ms: int | None = None  # capture time of the newest picture
        self._fed_at = self._clock.monotonic()  # when it came
        self._fed_clock: Clock | None = None
        self._over = False  # its file ended
        self._ending = "ended"
        # the log
        self._opened: Opened | None = None
        self._epoch = -1
        self._seq = 0
        self._partition = partition
        self._head_ms = 0  # capture time of the epoch's last record
        self._pictured_ms: int | None = None  # of the last picture or gap written
        self._drawn: Scene | None = None  # the scene that track knows from us
        self._foreign = False  # others ran this camera before us and may have drawn a scene
        self._refused: tuple[int, Size] | None = None
        self._ticked_at = self._keyed_at = self._clock.monotonic()
        self._under_way: deque[_Sent] = deque()
        self._asking_since: float | None = None  # for an epoch
        self._refusals = Refusals(self._policy.refused_again_s)
        self._turn = asyncio.Lock()  # one hand-over at a time: their order is the order in the log
        # bells
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._sent = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._stopping = asyncio.Event()
        self._reason = "stopped"

    # -- what the registry says -----------------------------------------------------------------

    def place(self, partition: int) -> None:
        """The camera's frames go to this partition from now on."""
        self._placed = partition
        self._news.set()

    def draw(self, scene: Scene | None) -> None:
        """What the camera's pictures are measured by from now on; None: nothing."""
        if scene != self._scene:
            self._scene, self._scene_changed = scene, True
            self._news.set()

    def stop(self, reason: str) -> None:
        """Write what waits, close the epoch, and end; at most `stop_s`."""
        self._reason = reason
        self._stopping.set()
        self._news.set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    @property
    def over(self) -> bool:
        """Whether its file ended."""
        return self._over

    def waits_since(self) -> float | None:
        """Monotonic time since which its oldest record waits for the broker; None if none does."""
        return self._under_way[0].sent_at if self._under_way else self._asking_since

    # -- running --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until stopped or ended. Raises Fatal where the broker will never take our records."""
        writing = asyncio.create_task(self._write())
        feeding = asyncio.create_task(self._feed())
        deadline = asyncio.create_task(self._run_out(feeding))
        every = {writing, feeding, deadline, asyncio.create_task(self._reap())}
        pending = every
        try:
            while not (writing.done() or deadline.done()):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if not task.cancelled():
                        task.result()
        finally:
            await end(every)
            lost = self._pen.backlog.clear(self.camera.id)
            if lost or self._under_way:
                log.warning(
                    "camera %s: stopped with %d pictures not written and %d records not acknowledged",
                    self.camera.id,
                    lost,
                    len(self._under_way),
                )
            if left_out := self._refusals.end():
                log.warning("camera %s: stopped while records were refused; %d were left out", self.camera.id, left_out)
            self._show(None)

    async def _run_out(self, feeding: "asyncio.Task[None]") -> None:
        """Once stopped: no more pictures, and only so much time for those that wait."""
        await self._stopping.wait()
        feeding.cancel()
        await self._clock.sleep(self._policy.stop_s)

    def _show(self, state: CameraState | None) -> None:
        if state == self.state:
            return
        if self.state is not None:
            self._meter.gauge("state", None, camera=self.camera.id, state=self.state.value)
        if state is not None:
            self._meter.gauge("state", 1, camera=self.camera.id, state=state.value)
        self.state = state

    # -- the connection -------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Connect again and again, and let the pictures wait for the writer."""
        failures = 0
        while True:
            self._show(CameraState.CONNECTING)
            live_at: float | None = None
            try:
                pictures = cast("AsyncGenerator[Picture, None]", self._source.pictures(self.camera))
                async with aclosing(pictures):
                    async for picture in pictures:
                        await self._accept(picture, opening=live_at is None)
                        if live_at is None:
                            live_at = self._clock.monotonic()
                            log.info(
                                "camera %s: live, %s, clock %s", self.camera.id, picture.source_size, picture.clock
                            )
                if live_at is not None:
                    self._finish("ended")
                    return
                raise Retry(f"camera {self.camera.id}: its stream ended without a picture")  # noqa: TRY301 - one way out
            except Retry as exc:
                if live_at is not None and self._clock.monotonic() - live_at >= self._policy.steady_s:
                    failures = 0
                wait_s = backoff_s(failures, self._policy)
                log.warning("%s; again in %.0f s", exc, wait_s)
            except Fatal as exc:
                log.error("camera %s: %s", self.camera.id, exc)
                if self._fed_clock is Clock.FILE and live_at is not None:
                    self._finish("broken")  # what could be read is written; from its start it would count twice
                    return
                wait_s = self._policy.backoff_most_s  # a person may mend it meanwhile
            failures += 1
            self._meter.count("reconnects", camera=self.camera.id)
            self._show(CameraState.BACKOFF)
            self._news.set()
            await self._clock.sleep(wait_s)

    def _finish(self, how: str) -> None:
        self._show(CameraState.ENDED)
        self._over, self._ending = True, how
        self._news.set()

    async def _accept(self, picture: Picture, *, opening: bool) -> None:
        """Let one picture wait for the writer."""
        begins = None
        if opening or picture.restarts or picture.fresh:
            back = self._fed_ms is not None and picture.captured_ms <= self._fed_ms
            begins = Begin(
                source_size=picture.source_size,
                clock=picture.clock,
                first_ms=picture.captured_ms,
                opening=opening,
                restarts=picture.restarts or back,
            )
        patient = picture.clock is Clock.FILE and self.camera.pace == "fast"
        while patient and self._pen.backlog.waiting(self.camera.id) >= self._policy.ahead:
            self._room.clear()
            await self._room.wait()
        self._fed_ms, self._fed_at = picture.captured_ms, self._clock.monotonic()
        self._fed_clock = picture.clock
        self._show(CameraState.LIVE)
        dropped = self._pen.backlog.put(
            self.camera.id,
            Waiting(
                picture=picture,
                captured_ms=picture.captured_ms,
                size=held_bytes(picture.body),
                begins=begins,
                droppable=not patient,
            ),
        )
        for camera in dropped:
            self._meter.count("dropped", camera=camera, reason=GapReason.OVERFLOW.value)
        self._news.set()

    # -- the log --------------------------------------------------------------------------------

    async def _write(self) -> None:
        """Everything that is to be said of this camera, in order."""
        while True:
            self._news.clear()
            over = self._over or self._stopping.is_set()  # before looking: what waits was put there before that
            await self._duties()
            entry = self._pen.backlog.take(self.camera.id)
            if entry is not None:
                self._room.set()
                await self._tell(entry)
            elif over:
                if self._opened is not None:
                    await self._close(self._ending if self._over else self._reason)
                await self._settled()
                return
            else:
                await self._idle()

    async def _idle(self) -> None:
        """Wait for news, but not beyond the next duty."""
        bell = asyncio.create_task(self._news.wait())
        alarm = asyncio.create_task(self._clock.sleep(self._policy.tick_s))
        try:
            await asyncio.wait({bell, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            bell.cancel()
            alarm.cancel()
            await asyncio.gather(bell, alarm, return_exceptions=True)

    async def _duties(self) -> None:
        """Control records that are due."""
        if self._opened is None:
            self._scene_changed = False
            return
        if self._placed != self._partition:
            await self._move(self._opened)
        now = self._clock.monotonic()
        if self._scene_changed:
            await self._draw()
        elif now - self._keyed_at >= self._policy.keyframe_s:
            self._keyed_at = now
            await self._put(self._opened, self._head_ms)
            await self._draw()
        waits = self._pen.backlog.waiting(self.camera.id) > 0  # then time goes on by itself
        busy = waits or len(self._under_way) >= self._policy.unacknowledged
        if busy or self._over or now - max(self._ticked_at, self._fed_at) < self._policy.tick_s:
            return
        quiet_s = max(self._policy.quiet_s, 3 / self.camera.fps if self.camera.fps else 0.0)
        if self.state is CameraState.LIVE and now - self._fed_at >= quiet_s:
            self._show(CameraState.STALLED)
        if self.state not in {None, CameraState.LIVE} and self._fed_ms is not None:
            self._ticked_at = now
            passed_ms = round((now - self._fed_at) * 1000)
            await self._put(Tick(state=cast("CameraState", self.state)), self._fed_ms + passed_ms)

    async def _tell(self, entry: Waiting[Picture, Begin] | Lost[Begin]) -> None:
        """One picture, or the gap where pictures were."""
        if entry.begins is not None:
            await self._begin(entry.begins)
        if isinstance(entry, Lost):
            gap = Gap(from_ms=entry.from_ms, to_ms=entry.to_ms, reason=GapReason.OVERFLOW, frames=entry.frames)
            log.warning(
                "camera %s: %d pictures were dropped while the broker was away (%.1f s)",
                self.camera.id,
                entry.frames,
                (entry.to_ms - entry.from_ms) / 1000,
            )
            await self._put(gap, entry.to_ms)
            self._pictured_ms = entry.to_ms
            return
        picture = entry.picture
        if picture.health is not None:  # before the picture, so that what it shows is believed or not at once
            await self._put(picture.health, picture.captured_ms)
        await self._put(picture.body, picture.captured_ms, size=picture.size, source_size=picture.source_size)
        self._pictured_ms = picture.captured_ms

    async def _begin(self, begins: Begin) -> None:
        """A new epoch, and the gap between the connections if it goes on from the one before."""
        before_ms = self._pictured_ms
        restarts = await self._open(begins)
        if not begins.opening or restarts or before_ms is None or begins.first_ms - before_ms <= 1:
            return
        gap = Gap(from_ms=before_ms + 1, to_ms=begins.first_ms - 1, reason=GapReason.LOST)
        await self._put(gap, self._head_ms)

    async def _open(self, begins: Begin) -> bool:
        """Ask for an epoch, open it and draw its scene. Returns whether tracks end."""
        partition = self._placed
        self._asking_since = self._clock.monotonic()
        issued = await self._pen.epochs.issue(self.camera.id, partition)
        self._asking_since = None
        # Whoever reads a file from its start repeats the time of whoever read it before, if only by a little.
        again = begins.opening and begins.clock is Clock.FILE and issued.epoch_before is not None
        if self._opened is None:
            self._foreign = issued.epoch_before is not None
        self._epoch, self._seq, self._partition, self._head_ms = issued.epoch, 0, partition, begins.first_ms
        self._opened = Opened(
            source_size=begins.source_size,
            clock=begins.clock,
            fps=self.camera.fps,
            restarts=begins.restarts or again,
            epoch_before=issued.epoch_before,
            partition_before=issued.partition_before,
            partition=partition,
            first_ms=begins.first_ms,
        )
        self._meter.count("epochs", camera=self.camera.id)
        self._keyed_at = self._clock.monotonic()
        await self._put(self._opened, begins.first_ms)
        await self._draw()
        return self._opened.restarts

    async def _move(self, opened: Opened) -> None:
        """The placement changed: end here, go on there."""
        await self._close("moved")
        await self._settled()
        await self._open(
            Begin(
                source_size=opened.source_size,
                clock=opened.clock,
                first_ms=self._head_ms,
                opening=False,
                restarts=False,
            )
        )

    async def _close(self, reason: str) -> None:
        await self._put(Closed(last_seq=self._seq - 1, reason=reason), self._head_ms)

    async def _draw(self) -> None:
        """Write the scene, if it fits the pictures; one that does not would make counts lie."""
        self._scene_changed = False
        assert self._opened is not None
        source, scene = self._opened.source_size, self._scene
        if scene is not None and not fits(scene, source):
            if self._refused != (scene.revision, source):
                self._refused = (scene.revision, source)
                self._meter.count("scenes_refused", camera=self.camera.id)
                log.error(
                    "camera %s: its scene was drawn on %s, its pictures are %s: another shape, so nothing is counted; "
                    "draw it on a picture of this camera",
                    self.camera.id,
                    scene.drawn_on,
                    source,
                )
            scene = None
        if scene is None and (self._drawn is not None or self._foreign):
            # An empty scene, so that nobody goes on measuring by one that is gone.
            revision = self._scene.revision if self._scene else self._drawn.revision + 1 if self._drawn else 0
            if self._drawn is not None and not self._drawn.lines and not self._drawn.zones:
                revision = self._drawn.revision
            scene = Scene(drawn_on=source, revision=revision)
        if scene is not None:
            self._drawn = scene
            await self._put(scene, self._head_ms)

    # -- handing over ---------------------------------------------------------------------------

    async def _put(
        self, body: Body, captured_ms: int, *, size: Size | None = None, source_size: Size | None = None
    ) -> None:
        """Give a record the next place and hand it over."""
        while len(self._under_way) >= self._policy.unacknowledged:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        frame = isinstance(body, Frame | Boxes)
        # Time in an epoch only goes on; a picture tells its own time, whatever a tick guessed before it.
        at_ms = captured_ms if frame else max(captured_ms, self._head_ms)
        assert self._opened is not None
        header = Header(
            log=self._pen.log_id,
            camera=self.camera.id,
            shard=self.camera.shard,
            epoch=self._epoch,
            seq=self._seq,
            captured_ms=at_ms,
            clock=self._opened.clock,
            size=size,
            source_size=source_size,
        )
        encoded = encode_record(Record(header, body))
        try:
            async with self._turn:
                ack = await self._hand_over(encoded, self._partition)
        except Poison as exc:
            self._leave_out(exc)
            if frame:  # its place goes to the gap it leaves
                await self._put(Gap(from_ms=at_ms, to_ms=at_ms, reason=GapReason.LOST, frames=1), at_ms)
            return
        self._seq += 1
        self._head_ms = max(at_ms, self._head_ms)
        self._under_way.append(_Sent(encoded, self._partition, at_ms if frame else None, self._clock.monotonic(), ack))
        self._sent.set()
        if frame:
            self._meter.count("frames", camera=self.camera.id)
            self._meter.count("bytes", len(encoded.value), camera=self.camera.id)

    async def _hand_over(self, encoded: Encoded, partition: int) -> "asyncio.Future[int]":
        """Until the client takes it. Raises Poison, Fatal."""
        while True:
            try:
                ack: Awaitable[int] = await self._pen.writer.send(
                    "frames", partition, key=encoded.key, value=encoded.value, headers=encoded.headers
                )
                return asyncio.ensure_future(ack)
            except Retry:  # `waits_since` tells of it
                await self._clock.sleep(self._policy.send_again_s)

    async def _reap(self) -> None:
        """Take acknowledgements in order; what was not written is sent again, under the same numbers."""
        while True:
            while not self._under_way:
                self._sent.clear()
                await self._sent.wait()
            first = self._under_way[0]
            await asyncio.wait({first.ack})
            try:
                first.ack.result()
            except Retry:
                await self._send_again()
                continue
            except Poison as exc:
                self._leave_out(exc)
            else:
                if first.captured_ms is not None and (left_out := self._refusals.taken(self._clock.monotonic())):
                    log.info("camera %s: its records are taken again; %d were left out", self.camera.id, left_out)
            self._under_way.popleft()
            if first.captured_ms is not None:
                age_s = max(0, self._clock.now_ms() - first.captured_ms) / 1000
                self._meter.seconds("age", age_s)
            self._acknowledged.set()

    def _leave_out(self, why: Poison) -> None:
        """A record is refused for good, by the client or by the broker. Said now and then, counted always."""
        self._meter.count("dropped", camera=self.camera.id, reason=GapReason.LOST.value)
        left_out = self._refusals.refused(self._clock.monotonic())
        if left_out == 1:
            log.warning("camera %s: a record is refused and left out: %s", self.camera.id, why)
        elif left_out is not None:
            log.warning("camera %s: %d more records were refused and left out: %s", self.camera.id, left_out, why)

    async def _send_again(self) -> None:
        """Whether these were written is not known; a repeat has the same numbers and is ignored downstream."""
        async with self._turn:
            await asyncio.wait({sent.ack for sent in self._under_way})
            for sent in self._under_way:
                if isinstance(sent.ack.exception(), Retry):
                    sent.ack = await self._hand_over(sent.encoded, sent.partition)

    async def _settled(self) -> None:
        """Until every record is acknowledged."""
        while self._under_way:
            self._acknowledged.clear()
            await self._acknowledged.wait()


async def end(tasks: "set[asyncio.Task[None]]") -> None:
    """Cancel tasks until they are; a library may swallow a cancellation that comes at a bad moment."""
    while tasks:
        for task in tasks:
            task.cancel()
        done, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # whoever waited for it has seen it


def fits(scene: Scene, source: Size) -> bool:
    """Whether a scene was drawn on a picture of this shape."""
    return scene.drawn_on.same_shape(source)


def held_bytes(shown: Shown) -> int:
    """How much memory a picture holds while it waits, roughly."""
    content = len(shown.jpeg) if isinstance(shown, Frame) else len(shown) * BOX_BYTES
    return content + PICTURE_OVERHEAD_BYTES


def backoff_s(failures: int, policy: CapturePolicy) -> float:
    """The wait after so many failures in a row: doubling, capped, and spread so that a site's cameras do not knock in step."""
    most = min(policy.backoff_most_s, policy.backoff_first_s * 2.0 ** min(failures, 30))
    return most * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
