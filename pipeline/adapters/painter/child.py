"""The painting child: `python -m pipeline.adapters.painter.child` paints a simulated camera's pictures for its parent.

Painting takes a good part of a core, which would be taken from all cameras if it were done beside them.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

import av
import cv2
import msgspec

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.recordings import showing
from pipeline.adapters.video.messages import (
    Failed,
    Info,
    Message,
    PassEnded,
    Shot,
    asked,
    end_with_parent,
    write,
)
from pipeline.adapters.video.pictures import Encoder
from pipeline.core.thinning import Thinning, thin
from pipeline.errors import Fatal


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do."""

    source: str  # the address
    fps: float | None
    width: int
    quality: int
    loop: bool


def main() -> int:
    """Do what the parent asks for on stdin, and say it on stdout."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # nothing that a library prints can get between our messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends us in its own order
    cv2.setNumThreads(1)
    request = asked(sys.stdin.buffer, Request)
    threading.Thread(target=end_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        try:
            for message in _play(request):
                write(out, message)
        except Fatal as exc:
            write(out, Failed(why=str(exc)))
    return 0


def _play(request: Request) -> Iterator[Message]:
    """Every pass over the recording, for ever if it loops."""
    show = showing(request.source)
    address, recording, size = show.address, show.recording, show.place.size
    painter = Painter(recording, show.place, Looks(address.light, address.weather, seed=address.seed))
    encoder, thinning, begins_ms, restarts = Encoder(request.width, request.quality), Thinning(), 0, False
    yield Info(size=size, fps=address.fps, declared_frames=None, duration_s=recording.duration_ms / 1000)
    while True:
        number = 0
        while (t_ms := round(number * 1000 / address.fps)) < recording.duration_ms:
            number += 1
            thinning, keep = thin(thinning, begins_ms + t_ms, request.fps)
            if not keep:
                continue
            frame = av.VideoFrame.from_ndarray(painter.picture(t_ms), format="bgr24")
            media_ms = begins_ms + t_ms
            sent = encoder.encode(frame, media_ms)
            yield Shot(
                jpeg=sent.jpeg,
                media_ms=media_ms,
                size=sent.size,
                source_size=sent.source_size,
                restarts=restarts,
                health=sent.health,
            )
            restarts = False
        yield PassEnded(decoded=number, declared=None, broken=0, cut=False)
        if not request.loop:
            return
        begins_ms, restarts = begins_ms + recording.duration_ms, True


if __name__ == "__main__":
    sys.exit(main())
