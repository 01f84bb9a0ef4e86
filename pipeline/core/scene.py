"""The heart: one camera's log goes in record by record, events and flow come out.

`observe(memory, record)` is the whole of it. The memory is one value that holds all a camera's future results
depend on, with the (epoch, seq) of the last record it includes: the same records give the same outputs bit for
bit, from a file, from Kafka, or again after a crash. What is not newer than the memory changes nothing.
"""

from enum import StrEnum

import msgspec

from pipeline.core.crossing import CrossingPolicy, LineMemory, step
from pipeline.core.geometry import inside
from pipeline.core.model import (
    CameraId,
    Clock,
    Closed,
    Crossing,
    Detections,
    Flow,
    Gap,
    Header,
    LiveTrack,
    LiveTracks,
    Opened,
    Output,
    Point,
    Record,
    Scene,
)
from pipeline.core.speed import Look, Motion, SpeedPolicy, clocked, moved, same_measure, shown
from pipeline.core.tracking import Track, TrackingPolicy, follow
from pipeline.core.windows import WindowPolicy, Windows, counted, passed, saw


class ScenePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All beliefs and limits of the core for one camera."""

    tracking: TrackingPolicy = TrackingPolicy()
    crossing: CrossingPolicy = CrossingPolicy()
    speed: SpeedPolicy = SpeedPolicy()
    windows: WindowPolicy = WindowPolicy()
    wait_for_close_ms: int = 30_000  # a moved camera's new epoch waits this long for the end of the old one
    held_records: int = 2_000  # and no more records than this wait


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """How far a track's path has been measured against the scene."""

    foot: Point
    foot_ms: int
    lines: dict[str, LineMemory] = {}


class Memory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything gantry remembers of one camera."""

    camera: CameraId
    log: str = ""  # the log the epochs below belong to; in another log they would mean nothing
    epoch: int = -1
    seq: int = -1
    now_ms: int | None = None  # the latest capture time known
    seen_ms: int | None = None  # of the last picture, None when sight was lost since
    opened: Opened | None = None
    closed: bool = False  # the epoch's last record was its `closed`
    scene: Scene | None = None
    tracks: list[Track] = []
    trails: dict[str, Trail] = {}
    motions: dict[str, Motion] = {}  # by track; only where the scene measures speed
    windows: Windows = Windows()
    held: list[Record] = []  # records of a later epoch that must wait for the end of this one

    @property
    def includes(self) -> tuple[int, int]:
        """(epoch, seq) of the last record in this memory."""
        return (self.epoch, self.seq)


class Fate(StrEnum):
    """What became of one record: every one has exactly one."""

    ANALYSED = "analysed"
    CONTROL = "control"
    REPEAT = "repeat"  # already part of the memory
    STALE = "stale"  # of an epoch older than the newest opened one
    HELD = "held"  # waits in the memory for the end of the epoch before it


class Observed(msgspec.Struct, frozen=True):
    """The answer to one record."""

    memory: Memory
    outputs: list[Output]
    fate: Fate


def observe(memory: Memory, record: Record, policy: ScenePolicy) -> Observed:
    """Take one record of the camera's log into its memory.

    Args:
        memory: the camera's memory; `Memory(camera=...)` for a camera never seen.
        record: the next record of the log; repeats and strays are recognised and harmless.
        policy: beliefs and limits.

    Returns:
        The new memory, what there is to say, and what became of the record.
    """
    header = record.header
    if memory.log != header.log:  # a first record, or the topics were made anew: nothing kept can be compared
        memory = Memory(camera=memory.camera, log=header.log)
    if header.epoch < memory.epoch:
        return Observed(memory, [], Fate.STALE)
    if header.epoch == memory.epoch:
        if header.seq <= memory.seq:
            return Observed(memory, [], Fate.REPEAT)
        after, outputs = _take(memory, record, policy)
        fate = Fate.ANALYSED if isinstance(record.body, Detections) else Fate.CONTROL
        if after.closed and after.held:
            after, more = _release(after, policy)
            outputs += more
        return Observed(after, outputs, fate)
    return _later_epoch(memory, record, policy)


def finish(memory: Memory, policy: ScenePolicy) -> tuple[Memory, list[Flow]]:
    """End a log for good (a file without a broker): emit every window that has something to say."""
    if memory.now_ms is None:
        return memory, []
    windows, flows = passed(
        memory.windows, memory.now_ms, camera=memory.camera, scene=memory.scene, policy=policy.windows, final=True
    )
    return msgspec.structs.replace(memory, windows=windows), flows


def _later_epoch(memory: Memory, record: Record, policy: ScenePolicy) -> Observed:
    """A record of an epoch newer than the memory's: switch to it, or hold it until the old one has ended."""
    if any(h.header.order == record.header.order for h in memory.held):
        return Observed(memory, [], Fate.REPEAT)
    if not memory.held and isinstance(record.body, Opened) and _may_follow(memory, record.body):
        after, outputs = _take(memory, record, policy)
        return Observed(after, outputs, Fate.CONTROL)
    held = sorted([*memory.held, record], key=lambda r: r.header.order)
    waiting = msgspec.structs.replace(memory, held=held)
    first = held[0].header.captured_ms
    keyframe = next((r for r in held if isinstance(r.body, Opened)), None)
    if keyframe is None:  # nobody can place these yet: keep the newest
        return Observed(msgspec.structs.replace(waiting, held=held[-policy.held_records :]), [], Fate.HELD)
    waited_ms = max(r.header.captured_ms for r in held) - first
    if _may_follow(memory, keyframe.body) or waited_ms >= policy.wait_for_close_ms or len(held) >= policy.held_records:  # type: ignore[arg-type]
        after, outputs = _release(waiting, policy)
        return Observed(after, outputs, Fate.HELD)
    return Observed(waiting, [], Fate.HELD)


def _may_follow(memory: Memory, opened: Opened) -> bool:
    """Whether an epoch may begin: the one before it has ended, or lies before it in the same partition, or is not known."""
    return (
        memory.opened is None
        or memory.closed
        or opened.partition_before is None
        or opened.partition_before == opened.partition
        or opened.epoch_before is None
        or opened.epoch_before < memory.epoch
    )


def _release(memory: Memory, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """Take the held records in their order; an epoch's `opened` goes first, though a keyframe may have come late."""
    held, outputs = memory.held, []
    memory = msgspec.structs.replace(memory, held=[])
    for epoch in sorted({r.header.epoch for r in held}):
        of_epoch = [r for r in held if r.header.epoch == epoch]
        opened = next((r for r in of_epoch if isinstance(r.body, Opened)), None)
        if opened is not None:
            memory, more = _take(
                memory,
                Record(
                    msgspec.structs.replace(opened.header, seq=-1, captured_ms=of_epoch[0].header.captured_ms),
                    opened.body,
                ),
                policy,
            )
            outputs += more
        for record in of_epoch:
            if record.header.order > memory.includes:
                memory, more = _take(memory, record, policy)
                outputs += more
    return memory, outputs


def _take(memory: Memory, record: Record, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """Take a record whose turn it is."""
    header, body = record.header, record.body
    if header.epoch == memory.epoch and header.seq != memory.seq + 1:
        memory = _blind(memory)  # records between were lost or expired: nobody saw
    outputs: list[Output] = []
    match body:
        case Opened():
            memory = _open(memory, header, body)
        case Scene():
            memory = _draw(memory, body)
        case Gap():
            memory = _blind(memory)
        case Detections():
            memory, outputs = _look(memory, header, body, policy)
        case Closed():
            memory = msgspec.structs.replace(_blind(memory), closed=True)
        case _:  # a tick: time passes
            pass
    now_ms = header.captured_ms if memory.now_ms is None else max(memory.now_ms, header.captured_ms)
    if memory.seen_ms is not None and now_ms - memory.seen_ms > _hold_ms(memory, policy):
        memory = _blind(memory)
    windows, flows = passed(memory.windows, now_ms, camera=memory.camera, scene=memory.scene, policy=policy.windows)
    memory = msgspec.structs.replace(memory, epoch=header.epoch, seq=header.seq, now_ms=now_ms, windows=windows)
    return memory, outputs + list(flows)


def _blind(memory: Memory) -> Memory:
    return memory if memory.seen_ms is None else msgspec.structs.replace(memory, seen_ms=None)


def _hold_ms(memory: Memory, policy: ScenePolicy) -> int:
    """How long a picture vouches for the road: three periods of a slow camera, else the policy's time."""
    fps = memory.opened.fps if memory.opened else None
    return max(policy.windows.hold_ms, round(3000 / fps) if fps else 0)


def _open(memory: Memory, header: Header, opened: Opened) -> Memory:
    if memory.epoch == header.epoch and memory.opened is not None:
        return memory  # a keyframe
    memory = msgspec.structs.replace(_blind(memory), opened=opened, closed=False)
    if opened.restarts or (memory.now_ms is not None and header.captured_ms < memory.now_ms):
        memory = msgspec.structs.replace(
            memory, tracks=[], trails={}, motions={}, now_ms=None if opened.restarts else memory.now_ms
        )
    return memory


def _draw(memory: Memory, scene: Scene) -> Memory:
    """A new scene: lines that stayed where they were go on counting, the others begin anew."""
    if memory.scene is not None and scene.revision == memory.scene.revision and scene == memory.scene:
        return memory  # a keyframe
    same = {line.name for line in scene.lines if memory.scene and line in memory.scene.lines}
    trails = {
        track: msgspec.structs.replace(trail, lines={name: kept for name, kept in trail.lines.items() if name in same})
        for track, trail in memory.trails.items()
    }
    motions = memory.motions if same_measure(memory.scene, scene) else {}
    return msgspec.structs.replace(memory, scene=scene, trails=trails, motions=motions)


def _look(memory: Memory, header: Header, seen: Detections, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """One analysed frame."""
    if memory.now_ms is not None and header.captured_ms <= memory.now_ms and memory.tracks:
        last = max(t.seen_ms for t in memory.tracks)
        if header.captured_ms <= last:
            return memory, []  # no time has passed since the last picture: it tells nothing new
    aspect = _aspect(memory, header)
    sure = policy.tracking.evidence
    windows = memory.windows
    if memory.seen_ms is not None and 0 < header.captured_ms - memory.seen_ms <= _hold_ms(memory, policy):
        windows = saw(windows, memory.seen_ms, header.captured_ms, _inside(memory, aspect, sure), policy.windows)
    tracks, _ = follow(
        memory.tracks, seen, at=(header.epoch, header.seq, header.captured_ms), aspect=aspect, policy=policy.tracking
    )
    trails: dict[str, Trail] = {}
    crossings: list[Crossing] = []
    for track in tracks:
        trail = memory.trails.get(track.id, Trail(track.foot(aspect), track.seen_ms))
        if track.seen_ms > trail.foot_ms and track.weight >= sure:
            trail, found = _measure(memory, header, track, trail, aspect, policy)
            crossings += found
        trails[track.id] = trail
    look = Look(header, memory.scene, aspect, policy.speed)
    motions = moved(memory.motions, tracks, seen, look)
    crossers = {c.track for c in crossings}
    before = {t.id: (t, memory.trails[t.id].foot, memory.trails[t.id].foot_ms) for t in tracks if t.id in crossers}
    motions, crossings, speeds = clocked(motions, crossings, before, look)
    windows = counted(windows, crossings, policy.windows)
    live = [
        shown(_live(t, aspect), motions.get(t.id))
        for t in tracks
        if t.seen_ms == header.captured_ms and t.weight >= sure
    ]
    memory = msgspec.structs.replace(
        memory, tracks=tracks, trails=trails, motions=motions, windows=windows, seen_ms=header.captured_ms
    )
    picture = LiveTracks(
        camera=memory.camera, epoch=header.epoch, seq=header.seq, captured_ms=header.captured_ms, tracks=live
    )
    return memory, [*crossings, *speeds, picture]


def _live(track: Track, aspect: float) -> LiveTrack:
    x1, y1, x2, y2 = (round(v, 5) for v in track.box(aspect))
    return LiveTrack(track.id, track.label, x1, y1, x2, y2, round(track.score, 4))


def _measure(
    memory: Memory, header: Header, track: Track, trail: Trail, aspect: float, policy: ScenePolicy
) -> tuple[Trail, list[Crossing]]:
    """Hold a track's newest step against every line of the scene."""
    foot, lines, found = track.foot(aspect), dict(trail.lines), []
    for line in memory.scene.lines if memory.scene else []:
        if line.classes is not None and track.label not in line.classes:
            continue
        lines[line.name], crossed = step(
            line,
            lines.get(line.name),
            before=trail.foot,
            before_ms=trail.foot_ms,
            after=foot,
            after_ms=track.seen_ms,
            height=track.height,
            aspect=aspect,
            policy=policy.crossing,
        )
        if crossed is not None:
            nickname = line.to_right if crossed.way == "to_right" else line.to_left
            found.append(
                Crossing(
                    id=f"{header.log}/{memory.camera}/{track.id}/{line.name}/{crossed.nth}",
                    camera=memory.camera,
                    line=line.name,
                    direction=crossed.way,
                    direction_name=nickname,
                    label=track.label,
                    score=round(track.score, 4),
                    captured_ms=crossed.captured_ms,
                    x=round(crossed.at[0], 5),
                    y=round(crossed.at[1], 5),
                    track=track.id,
                    clock=Clock(header.clock),
                    scene_revision=memory.scene.revision if memory.scene else 0,
                    epoch=header.epoch,
                )
            )
    return Trail(foot, track.seen_ms, lines), found


def _inside(memory: Memory, aspect: float, sure: float) -> dict[str, int]:
    """How many vehicles stand in each zone now; one lost from sight a moment ago is still there."""
    if memory.scene is None:
        return {}
    standing = [t for t in memory.tracks if t.weight >= sure]
    return {
        zone.name: sum(
            inside(zone.points, t.foot(aspect)) for t in standing if zone.classes is None or t.label in zone.classes
        )
        for zone in memory.scene.zones
    }


def _aspect(memory: Memory, header: Header) -> float:
    if memory.opened is not None:
        return memory.opened.source_size.aspect
    size = header.source_size or header.size
    return size.aspect if size is not None else 16 / 9
