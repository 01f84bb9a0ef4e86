"""Pictures that a child process makes, paced and given their capture time here: of films, and painted ones."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

import pipeline
from pipeline.adapters.playback import Pace, started_ms
from pipeline.adapters.video.messages import (
    LENGTH_BYTES,
    Alive,
    Failed,
    Info,
    Message,
    PassEnded,
    Shot,
)
from pipeline.core.model import Camera, Clock, Frame
from pipeline.errors import Fatal
from pipeline.ports import Clockwork, Picture

log = logging.getLogger("gantry.capture")

ANSWER_S = 60.0
"""The child says something at least this often, or it hangs. Fifty frames of the slowest codec take less."""

MOST_MESSAGE_BYTES = 256 * 1024 * 1024  # a longer one is no picture but a child gone mad
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


async def played(
    camera: Camera, name: str, module: str, request: bytes, *, clock: Clockwork
) -> AsyncGenerator[Picture, None]:
    """Pictures of a child, see `ports.Source.pictures`.

    Args:
        camera: whose pictures; says when they begin and whether they keep their own speed.
        name: of what is played, for messages.
        module: the child's.
        request: what it is asked for, packed.
        clock: the world's time.
    """
    start_ms = started_ms(camera)
    fast = camera.pace == "fast"
    pace = Pace(clock)
    async with child(module, request) as playing:
        while True:
            match await playing.next():
                case Shot() as shot:
                    if not fast:
                        await pace.wait_for(shot.media_ms, anew=shot.fresh)
                    if start_ms is None:  # now: not before the child, too, was ready
                        start_ms = clock.now_ms() - shot.media_ms
                    yield Picture(
                        body=Frame(shot.jpeg),
                        captured_ms=start_ms + shot.media_ms,
                        clock=Clock.FILE,
                        size=shot.size,
                        source_size=shot.source_size,
                        restarts=shot.restarts,
                        fresh=shot.fresh,
                        health=shot.health,
                    )
                case PassEnded() as ended:
                    _tell_missing(name, ended)
                case Failed() as failed:
                    raise Fatal(f"{name}: {failed.why}")
                case Info() | Alive():
                    pass
                case None:
                    verdict = await playing.verdict()
                    if verdict is not None:
                        raise Fatal(f"{name}: {verdict}")
                    return


def _tell_missing(path: str, ended: PassEnded) -> None:
    if ended.declared is not None and ended.decoded != ended.declared:
        log.warning(
            "%s declares %d frames, %d could be decoded%s: the rest is missing or damaged",
            path,
            ended.declared,
            ended.decoded,
            f" ({ended.broken} damaged packets)" if ended.broken else "",
        )
    elif ended.cut or ended.broken:
        log.warning("%s is damaged: %d frames could be decoded, %d packets not", path, ended.decoded, ended.broken)


class Child:
    """A running child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> Message | None:
        """What it says next; None at its end."""
        out = self._process.stdout
        assert out is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                length = int.from_bytes(await out.readexactly(LENGTH_BYTES), "big")
                if length > MOST_MESSAGE_BYTES:
                    return Failed(why="its decoder went mad: the file is damaged or hostile")
                return _DECODER.decode(await out.readexactly(length))
        except asyncio.IncompleteReadError:
            return None
        except TimeoutError:
            return Failed(why=f"its decoder gave no answer for {ANSWER_S:.0f} s: the file is damaged or hostile")
        except msgspec.MsgspecError:
            return Failed(why="its decoder went mad: the file is damaged or hostile")

    async def verdict(self) -> str | None:
        """How it ended: None for well, else in words."""
        code = await self._process.wait()
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            return f"its decoder crashed ({name}): the file is damaged or hostile, convert it or leave it out"
        return None if code == 0 else f"its decoder ended with code {code}"


@asynccontextmanager
async def child(module: str, request: bytes) -> AsyncIterator[Child]:
    """Start a child; leaving kills it."""
    house = str(Path(pipeline.__file__).parent.parent)
    environment = {  # nothing else: what we know of passwords is none of a decoder's business
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([house, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "OPENBLAS_NUM_THREADS": "1",
        **({"LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"]} if "LD_LIBRARY_PATH" in os.environ else {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
        limit=1 << 20,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(request)
        yield Child(process)
    finally:
        # Kills it and closes its pipes, also those where pictures wait unread: wait() waits for their end, too.
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was killed, though we are cancelled again: asyncio must see its end, and it is near."""
    waiting, cancelled = asyncio.ensure_future(process.wait()), None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
