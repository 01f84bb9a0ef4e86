"""The decoding child: `python -m pipeline.adapters.video.child` reads one file and writes pictures to its parent.

Files come from strangers, and decoders have crashed on less: here a crash, or memory without end, takes down one
file and nothing else. It has no secrets (its environment is bare), dumps no core and ends with its parent.
"""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.adapters.video.messages import (
    Alive,
    Failed,
    Info,
    Message,
    PassEnded,
    Request,
    Shot,
    asked,
    end_with_parent,
    write,
)
from pipeline.adapters.video.pictures import Encoder
from pipeline.core.capture_time import CaptureTime, next_pass, stamp
from pipeline.core.model import Size
from pipeline.core.thinning import Thinning, thin

MEMORY_BYTES = 4 * 1024**3
"""Address space, not memory in use: libraries and thread stacks count. An 8K H.264 stream needs about 2 GiB."""

OPEN_FILES = 64
COMMENT = 300  # characters of a file's comment that are handed on
ALIVE_EVERY = 50  # frames without a picture sent
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Do what the parent asks for on stdin, and say it on stdout."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing that a library prints can get between our messages
    _limit()
    request = asked(sys.stdin.buffer, Request)
    threading.Thread(target=end_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        try:
            for message in _probe(request) if request.probe else _play(request):
                write(out, message)
        except MemoryError:
            write(out, Failed(why=f"decoding it needs more than {MEMORY_BYTES // 1024**3} GiB of memory"))
    return 0


def _limit() -> None:
    av.logging.set_level(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us in its own order
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and nothing but that file: playlists and scripts inside it lead nowhere."""
    with av.open(f"file:{Path(path).absolute()}", options={"protocol_whitelist": "file"}) as container:
        if not container.streams.video:
            raise _NoVideoError
        yield container, container.streams.video[0]


class _NoVideoError(Exception):
    """The file holds no video stream."""


class _NoDecoderError(Exception):
    """The file's video is of a kind that nobody here can decode."""


CANNOT_READ = (av.error.FFmpegError, _NoVideoError, _NoDecoderError, ValueError)


def _why(exc: Exception) -> str:
    if isinstance(exc, _NoVideoError):
        return "it holds no video stream"
    if isinstance(exc, _NoDecoderError):
        return "its video is of a kind that cannot be decoded here: convert it to H.264"
    if isinstance(exc, av.error.InvalidDataError):
        return "it is not a video, or its beginning is damaged"
    if isinstance(exc, av.error.FFmpegError):
        return f"it cannot be read ({exc.strerror})"
    return f"it cannot be read ({type(exc).__name__})"


def _fps(stream: VideoStream) -> float | None:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate else None


def _info(container: InputContainer, stream: VideoStream) -> Info:
    codec = stream.codec_context
    if codec is None:
        raise _NoDecoderError
    seconds = None
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / 1_000_000
    return Info(
        size=Size(max(1, codec.width), max(1, codec.height)),
        fps=_fps(stream),
        declared_frames=stream.frames or None,
        duration_s=seconds,
        comment=next((text for key, text in container.metadata.items() if key.lower() == "comment"), "")[:COMMENT],
    )


def _probe(request: Request) -> Iterator[Message]:
    try:
        with _opened(request.path) as (container, stream):
            yield _info(container, stream)
    except CANNOT_READ as exc:
        yield Failed(why=_why(exc))


def _play(request: Request) -> Iterator[Message]:
    """Every pass over the file, for ever if it loops."""
    film = _Film(request)
    while True:
        try:
            with _opened(request.path) as (container, stream):
                yield from film.play(container, stream)
        except CANNOT_READ as exc:
            yield Failed(why=_why(exc))
            return
        if film.decoded == 0:
            yield Failed(why="not one picture of it can be decoded")
            return
        if not request.loop:
            return


class _Film:
    """What lasts from pass to pass."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.encoder = Encoder(request.width, request.quality)
        self.time = CaptureTime()
        self.thinning = Thinning()
        self.decoded = 0
        self.passes = 0
        self.restarts = self.fresh = False
        self.source: Size | None = None
        self.broken = 0
        self.cut = False

    def play(self, container: InputContainer, stream: VideoStream) -> Iterator[Message]:
        """One pass."""
        info = _info(container, stream)
        if self.passes == 0:
            yield info
            if info.fps:
                self.time = CaptureTime(nominal_ms=1000 / info.fps)
        else:
            self.time, self.restarts = next_pass(self.time), True
        self.passes += 1
        self.decoded = self.broken = silent = 0
        self.cut = False
        codec = stream.codec_context
        # Frame threads answer packet n with frame n-k, which would spoil choosing packets before decoding them.
        alone = codec.codec.intra_only
        codec.thread_type = "SLICE" if alone else "AUTO"
        codec.thread_count = self.request.threads
        for frame in self._frames(container, stream, choose=alone):
            shot = self._shot(frame) if alone or self._wanted(frame) else None
            silent = 0 if shot else silent + 1
            if shot is not None:
                yield shot
            elif silent % ALIVE_EVERY == 0:
                yield Alive()
        yield PassEnded(decoded=self.decoded, declared=info.declared_frames, broken=self.broken, cut=self.cut)

    def _frames(self, container: InputContainer, stream: VideoStream, *, choose: bool) -> Iterator[av.VideoFrame]:
        """Every frame that decodes, in the order of showing; what does not is counted and passed over.

        With `choose` (every frame stands alone) only wanted packets are decoded at all.
        """
        for packet in self._packets(container, stream):
            if choose and packet.size and not self._wanted(packet):
                self.decoded += 1
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError as exc:
                _check_memory(exc)
                self.broken += 1
                continue
            self.decoded += len(frames)
            yield from frames

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator["Packet[VideoStream]"]:
        try:
            yield from container.demux(stream)
        except av.error.FFmpegError as exc:
            _check_memory(exc)
            self.cut = True
            flush: Packet[VideoStream] = Packet()  # type: ignore[assignment]  # empty: gives out what the decoder holds
            flush.stream = stream
            yield flush

    def _wanted(self, timed: "av.VideoFrame | Packet[VideoStream]") -> bool:
        """Stamp one moment of the film, and thin."""
        ticks = timed.pts if timed.pts is not None else timed.dts
        pts_ms = None if ticks is None or timed.time_base is None else float(ticks * timed.time_base * 1000)
        stamped = stamp(self.time, pts_ms, None)
        self.time = stamped.time
        self.fresh |= stamped.fresh
        self.thinning, keep = thin(self.thinning, stamped.captured_ms, self.request.fps)
        return keep

    def _shot(self, frame: av.VideoFrame) -> Shot:
        assert self.time.last_ms is not None
        sent = self.encoder.encode(frame, self.time.last_ms)
        self.fresh |= self.source is not None and self.source != sent.source_size
        self.source = sent.source_size
        shot = Shot(
            jpeg=sent.jpeg,
            media_ms=self.time.last_ms,
            size=sent.size,
            source_size=sent.source_size,
            health=sent.health,
            restarts=self.restarts,
            fresh=self.fresh and not self.restarts,
        )
        self.restarts = self.fresh = False
        return shot


def _check_memory(exc: av.error.FFmpegError) -> None:
    if exc.errno == errno.ENOMEM:
        raise MemoryError from exc


if __name__ == "__main__":
    sys.exit(main())
