"""RTSP streams: a thread each. Everything has a time limit, and no word of FFmpeg's reaches the outside.

FFmpeg names the whole URL, password included, in its errors; ours name the camera's host and say what to do.
"""

import asyncio
import errno
import logging
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import NoReturn
from urllib.parse import urlsplit

import av
import av.logging
import msgspec
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.adapters.video.pictures import Encoder
from pipeline.core.capture_time import CaptureTime, shifted, stamp
from pipeline.core.model import Camera, Clock, Frame, Health, Size
from pipeline.core.thinning import Thinning, thin
from pipeline.core.thinning import shifted as thinning_shifted
from pipeline.errors import Fatal, GantryError, Retry
from pipeline.ports import Clockwork, Picture

log = logging.getLogger("gantry.capture")

READ_S = 1.0
"""One read of a silent stream waits so long, then looks whether it is still wanted. FFmpeg keeps its place."""

WAITING_PICTURES = 64  # between the thread and the stage; beyond that the stream itself waits
UDP_BUFFER_BYTES = 4 * 1024 * 1024  # a key picture arrives in one burst
PROBED_MICROSECONDS = 500_000  # enough to learn the codec; what was read meanwhile is not lost
FIRST_PACKETS = 16  # among so many the first in time of showing is found
A_DAY_MS = 24 * 3600 * 1000
YEAR_2000_MS = 946_684_800_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a stream may take."""

    connect_s: float
    stall_s: float
    hold_s: float


async def stream(
    camera: Camera, url: str, *, limits: Limits, quality: int, clock: Clockwork
) -> AsyncGenerator[Picture, None]:
    """Pictures of one connection, see `ports.Source.pictures`. A live stream never ends well: its end raises Retry."""
    if camera.transport not in {"tcp", "udp"}:
        raise Fatal(f"camera {camera.id}: transport {camera.transport!r} is not known: use tcp or udp")
    where = _where(camera, url)
    reader = _Reader(camera, url, where, limits=limits, quality=quality, clock=clock)
    reader.start()
    # The thread keeps its own limits; these stand behind them in case FFmpeg (or a name lookup) hangs.
    patience_s = 2 * limits.connect_s + limits.hold_s + READ_S + 1
    try:
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    said = await reader.queue.get()
            except TimeoutError as exc:
                raise Retry(f"{where}: no answer for {patience_s:.0f} s") from exc
            if isinstance(said, GantryError):
                raise said
            reader.room.release()
            patience_s = limits.stall_s + limits.hold_s + 2 * READ_S + 1
            yield said
    finally:
        reader.stopping.set()


def _where(camera: Camera, url: str) -> str:
    """The camera in words that hold no credentials: some cameras want them in the path, so that stays out too."""
    parts = urlsplit(url)
    with suppress(ValueError):
        if parts.hostname:
            return f"camera {camera.id} at {parts.hostname}{f':{parts.port}' if parts.port else ''}"
    raise Fatal(f"camera {camera.id}: its source is no URL with a host: write rtsp://host:port/path")


class _Held(msgspec.Struct, frozen=True):
    """A picture that waits for the sender to tell the time."""

    jpeg: bytes
    size: Size
    source_size: Size
    captured_ms: int
    fresh: bool
    health: Health | None


class _Stopped(Exception):  # noqa: N818 - no error
    """Nobody wants this stream any more."""


class _Reader(threading.Thread):
    """Reads one connection and puts pictures, at last an error, on `queue`."""

    def __init__(self, camera: Camera, url: str, where: str, *, limits: Limits, quality: int, clock: Clockwork) -> None:
        super().__init__(name=f"rtsp {camera.id}", daemon=True)
        self.camera, self.where, self.limits, self.clock = camera, where, limits, clock
        self._url = url
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Picture | GantryError] = asyncio.Queue()
        self.room = threading.Semaphore(WAITING_PICTURES)
        self.stopping = threading.Event()
        self.encoder = Encoder(camera.width, quality)
        self.time = CaptureTime()
        self.thinning = Thinning()
        self.label = Clock.PTS
        self.fresh = False
        self.source_size: Size | None = None
        self.held: list[_Held] | None = []  # None: nothing is held back any more
        self.first_pts: list[float] = []  # of the first packets
        self.first_without_pts = 0
        self.best_origin_ms: float | None = None  # the least arrival - pts: the packet that waited least
        self.held_since = 0.0
        self.pictured_at = 0.0
        self.connecting_since = time.monotonic()
        self.connected = False

    def run(self) -> None:
        """The thread."""
        try:
            self._read()
        except _Stopped:
            return
        except GantryError as exc:
            error = exc
        except av.error.FFmpegError as exc:
            error = self._in_our_words(exc)
        except Exception as exc:  # noqa: BLE001 - whatever a hostile stream makes FFmpeg do stays inside this door
            error = Retry(f"{self.where}: the stream cannot be read ({type(exc).__name__})")
        error.__context__ = None  # its text holds the URL
        self._say(error)

    def _say(self, said: Picture | GantryError) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it everyone who could listen
            self.loop.call_soon_threadsafe(self.queue.put_nowait, said)

    def _in_our_words(self, exc: av.error.FFmpegError) -> GantryError:  # noqa: C901 - a table
        match exc:
            case av.error.HTTPUnauthorizedError():
                why = "wrong user name or password (401): mend the secret its source refers to"
            case av.error.HTTPForbiddenError():
                why = "this user may not see the stream (403)"
            case av.error.HTTPNotFoundError():
                why = "there is no such stream (404): check the path of its source"
            case av.error.ConnectionRefusedError():
                why = "connection refused: check the port, and that the camera is on"
            case _ if isinstance(exc, av.error.ExitError | av.error.TimeoutError) or self._connected_too_late():
                why = f"no answer within {self.limits.connect_s:g} s"
            case av.error.EOFError():
                why = "it hung up"
            case av.error.InvalidDataError() | av.error.HTTPError() | av.error.HTTPClientError():
                why = "it answers, but not with video"
            case av.error.ProtocolNotFoundError() | av.error.DemuxerNotFoundError():
                return Fatal(f"{self.where}: this build of FFmpeg cannot open such streams")
            case _ if exc.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
                why = "the host cannot be reached: check its address and the network"
            case _ if exc.errno == errno.EIO:
                why = "the connection broke, or the host's name is not known"
            case _:
                why = f"the connection broke ({exc.strerror})"
        return Retry(f"{self.where}: {why}")

    def _connected_too_late(self) -> bool:
        """An answer that was waited for in vain looks to FFmpeg like a bad one."""
        return not self.connected and time.monotonic() - self.connecting_since >= self.limits.connect_s - 0.1

    # -- reading --------------------------------------------------------------------------------

    def _read(self) -> NoReturn:
        av.logging.set_level(None)  # FFmpeg would print the URL
        options = {
            "rtsp_transport": self.camera.transport,
            "allowed_media_types": "video",  # with sound, FFmpeg ties both to RTCP and time jumps at each report
            "timeout": str(round(self.limits.stall_s * 1_000_000)),
            "analyzeduration": str(PROBED_MICROSECONDS),
            "fpsprobesize": "0",
            "buffer_size": str(UDP_BUFFER_BYTES),
        }
        with av.open(self._url, options=options, timeout=(self.limits.connect_s, READ_S)) as container:
            self.connected = True
            self._check_wanted()
            if not container.streams.video:
                raise Retry(f"{self.where}: its stream holds no video")
            video = container.streams.video[0]
            if video.codec_context is None:
                raise Fatal(f"{self.where}: its video is of a kind that cannot be decoded here: set it to H.264")
            video.codec_context.thread_count = 1  # frame threads would hold pictures back
            video.codec_context.copy_opaque = True  # carries a packet's arrival through the decoder
            rate = video.average_rate or video.guessed_rate
            if rate:
                self.time = CaptureTime(nominal_ms=float(1000 / rate))
            self.pictured_at = self.held_since = time.monotonic()
            for packet in self._packets(container, video):
                self._note_arrival(packet)
                with suppress(av.error.InvalidDataError):  # a damaged packet: the next key picture mends it
                    for frame in packet.decode():
                        self._take(frame, container)
                if self.held is not None:
                    self._maybe_release(container)
        raise Retry(f"{self.where}: the camera ended the stream")

    def _packets(self, container: InputContainer, video: VideoStream) -> Iterator["Packet[VideoStream]"]:
        """Every packet until the end; a silent stream raises Retry, and nobody waits for an unwanted one."""
        while True:
            try:
                for packet in container.demux(video):
                    self._check_wanted()
                    self._check_alive()
                    yield packet
            except av.error.ExitError:  # READ_S without a word
                self._check_wanted()
                if self.held:
                    self._maybe_release(container)
                self._check_alive()
            else:
                if self.held:
                    self._release(container)
                return

    def _check_wanted(self) -> None:
        if self.stopping.is_set():
            raise _Stopped

    def _check_alive(self) -> None:
        if time.monotonic() - self.pictured_at > self.limits.stall_s:
            raise Retry(f"{self.where}: no picture for {self.limits.stall_s:g} s")

    def _note_arrival(self, packet: "Packet[VideoStream]") -> None:
        arrival_ms = self.clock.now_ms()
        packet.opaque = arrival_ms
        if self.held is None or packet.size == 0:
            return
        pts_ms = _ms(packet)
        if pts_ms is None:
            self.first_without_pts += not self.first_pts
            return
        if len(self.first_pts) < FIRST_PACKETS:
            self.first_pts.append(pts_ms)
        origin = arrival_ms - pts_ms
        self.best_origin_ms = origin if self.best_origin_ms is None else min(origin, self.best_origin_ms)

    def _take(self, frame: av.VideoFrame, container: InputContainer) -> None:
        """One decoded frame."""
        self.pictured_at = time.monotonic()
        arrival_ms = frame.opaque if isinstance(frame.opaque, int) else self.clock.now_ms()
        stamped = stamp(self.time, _ms(frame), arrival_ms)
        if stamped.fresh:
            if self.held is not None:
                self._release(container)  # what was held belongs to the time before the jump
                stamped = stamp(self.time, _ms(frame), arrival_ms)
            self.fresh = True
            log.info("%s: its timestamps jumped: a new epoch", self.where)
            if stamped.adrift:
                self.label = Clock.PTS
        self.time = stamped.time
        self.thinning, keep = thin(self.thinning, stamped.captured_ms, self.camera.fps)
        if not keep:
            return
        sent = self.encoder.encode(frame, stamped.captured_ms)
        if self.source_size is not None and self.source_size != sent.source_size:
            self.fresh = True
        self.source_size = sent.source_size
        held = _Held(sent.jpeg, sent.size, sent.source_size, stamped.captured_ms, self.fresh, sent.health)
        self.fresh = False
        if self.held is None:
            self._send(held, 0.0)
        else:
            self.held.append(held)

    # -- the sender's clock ---------------------------------------------------------------------

    def _maybe_release(self, container: InputContainer) -> None:
        """The first pictures wait until the sender's first report told the time, but not for long."""
        waited_s = time.monotonic() - self.held_since
        told = container.start_time_realtime is not None and self.time.origin_ms is not None
        if self.held and (told or waited_s >= self.limits.hold_s):
            self._release(container)

    def _release(self, container: InputContainer) -> None:
        held, self.held = self.held or [], None
        self.label, by_ms = self._clock_of(container)
        self.time, self.thinning = shifted(self.time, by_ms), thinning_shifted(self.thinning, by_ms)
        self.encoder.clock_moved(by_ms)
        for each in held:
            self._send(each, by_ms)

    def _clock_of(self, container: InputContainer) -> tuple[Clock, float]:
        """Which clock tells this connection's time, and by how much it differs from the provisional one."""
        if self.time.origin_ms is None or not self.first_pts or self.best_origin_ms is None:
            return Clock.ARRIVAL, 0.0  # no timestamps at all
        by_arrival_ms = self.best_origin_ms - self.time.origin_ms
        if container.start_time_realtime is None:
            return Clock.PTS, by_arrival_ms
        # FFmpeg works out the wall clock of the very first packet from the first sender report. A server may
        # count from another start than 0 (the Range of its answer), so the first packet's own timestamp counts.
        first_ms = min(self.first_pts) - self.first_without_pts * self.time.nominal_ms
        origin_ms = container.start_time_realtime / 1000 - first_ms
        off_ms = origin_ms - self.best_origin_ms
        if abs(off_ms) > A_DAY_MS or container.start_time_realtime / 1000 < YEAR_2000_MS:
            log.warning(
                "%s: its clock is off by %.0f s and is not believed; set its time server. Times follow its arrival.",
                self.where,
                off_ms / 1000,
            )
            return Clock.PTS, by_arrival_ms
        return Clock.RTCP, origin_ms - self.time.origin_ms

    def _send(self, held: _Held, by_ms: float) -> None:
        while not self.room.acquire(timeout=READ_S):
            self._check_wanted()
        self._say(
            Picture(
                body=Frame(held.jpeg),
                captured_ms=round(held.captured_ms + by_ms),
                clock=self.label,
                size=held.size,
                source_size=held.source_size,
                fresh=held.fresh,
                health=held.health,
            )
        )


def _ms(timed: "av.VideoFrame | Packet[VideoStream]") -> float | None:
    if timed.pts is None or timed.time_base is None:
        return None
    return float(timed.pts * timed.time_base * 1000)
