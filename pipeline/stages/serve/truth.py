"""True against counted: of cameras whose truth is known, what passed until now and what of it was counted.

The truth's clock is that of a recording; a camera that plays it says in its own log (`opened`) what capture time its
beginning has, and says it anew at every pass. Both sides are told up to one moment, a little before the newest picture:
a crossing is known only when its vehicle is beyond the line.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import aclosing

from pipeline.core.model import CameraId, Opened, Way
from pipeline.errors import Poison
from pipeline.ports import CountQuery, History, LogReader, Message, TrueCount
from pipeline.simulate.truth import Truth
from pipeline.wire.codec import decode_header, decode_record

LATE_MS = 3_000
"""Crossings are told at most so long after they happened."""

_DETECTIONS = "detections"


class _Pass:
    """One playing of the recording."""

    def __init__(self, first_ms: int) -> None:
        self.first_ms = self.last_ms = first_ms


class TrueCounts:
    """The port `Truths`.

    Args:
        truths: by camera.
        logs: where the cameras' own logs lie.
        history: what was counted.
    """

    def __init__(self, truths: Mapping[str, Truth], logs: LogReader, history: History) -> None:
        self._truths, self._logs, self._history = truths, logs, history
        self._passes: dict[str, list[_Pass]] = {camera: [] for camera in truths}
        self._epochs: dict[str, int] = {}
        self._times: dict[tuple[str, str, Way], list[float]] = defaultdict(list)
        for camera, truth in truths.items():
            for passage in sorted(truth.passages, key=lambda each: each.t_ms):
                self._times[camera, passage.line, passage.direction].append(passage.t_ms)

    async def follow(self) -> None:
        """Learn when recordings began and how far they are, for ever; returns at once where there is no truth."""
        if not self._truths:
            return
        async with aclosing(self._logs.follow(_DETECTIONS)) as messages:  # type: ignore[type-var]
            async for message in messages:
                if message is not None and message.key is not None and message.key.decode() in self._truths:
                    try:
                        self._take(message)
                    except Poison:
                        continue  # track, whose log it is, buries it

    def _take(self, message: Message) -> None:
        kind, header = decode_header(message.headers)
        camera, passes = str(header.camera), self._passes[header.camera]
        if header.epoch < self._epochs.get(camera, -1):
            return
        if kind == "opened" and header.epoch > self._epochs.get(camera, -1):
            opened = decode_record(message.headers, message.value).body
            assert isinstance(opened, Opened)
            self._epochs[camera] = header.epoch
            passes.append(_Pass(opened.first_ms))
        if passes:
            passes[-1].last_ms = max(passes[-1].last_ms, header.captured_ms)

    async def counts(self) -> list[TrueCount]:
        """True and counted, by camera, line and direction."""
        made: list[TrueCount] = []
        for camera, truth in self._truths.items():
            true: Counter[tuple[str, Way]] = Counter()
            counted: Counter[tuple[str, Way]] = Counter()
            until = 0
            for number, playing in enumerate(self._passes[camera]):
                latest = number == len(self._passes[camera]) - 1
                until = min(playing.first_ms + truth.duration_ms, playing.last_ms - (LATE_MS if latest else 0))
                if until <= playing.first_ms:
                    continue
                for (of, line, way), times in self._times.items():
                    if of == camera:
                        true[line, way] += bisect.bisect_left(times, until - playing.first_ms)
                query = CountQuery(cameras=[camera], from_ms=playing.first_ms, to_ms=until)
                for count in await self._history.counts(query):
                    counted[count.line, count.direction] += count.count
            made += [
                TrueCount(
                    camera=CameraId(camera), line=line.name, direction=way, true=true[line.name, way],
                    counted=counted[line.name, way], until_ms=until,
                )
                for line in truth.scene.lines
                for way in Way
                if true[line.name, way] or counted[line.name, way] or (camera, line.name, way) in self._times
            ]  # fmt: skip
        return made
