"""The heart: one camera's log goes in record by record, events and flow come out.

`observe(memory, record)` is the whole of it. The memory is one value that holds all a camera's future results
depend on, with the (epoch, seq) of the last record it includes: the same records give the same outputs bit for
bit, from a file, from Kafka, or again after a crash. What is not newer than the memory changes nothing.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from pipeline.core.calibration import GroundPlane, plane_of
from pipeline.core.crossing import CrossingPolicy
from pipeline.core.crowding import Crowd
from pipeline.core.health import HealthMemory, HealthPolicy, drawn, judge, unheard
from pipeline.core.measuring import Measure, Moment, Trail
from pipeline.core.model import (
    CameraId,
    Clock,
    Closed,
    Detections,
    Ending,
    Event,
    Gap,
    Header,
    Health,
    HealthChange,
    HealthEvidence,
    LiveTrack,
    LiveTracks,
    OfTrack,
    Opened,
    Output,
    Record,
    Scene,
)
from pipeline.core.movements import Learned
from pipeline.core.perspective import Perspective
from pipeline.core.road import UNKNOWN, Road
from pipeline.core.speed import Glance, Motion, SpeedPolicy, clocked, moved, same_measure, shown
from pipeline.core.tracking import Track, TrackingPolicy, boxes_of, follow
from pipeline.core.windows import WindowPolicy, Windows, counted, passed, saw, taken_back, unwell

MOST_DOUBTED = 500
"""Events of road users that are kept while a doubt about a camera's health lasts; of more, the oldest stay valid."""


class ScenePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All beliefs and limits of the core for one camera."""

    tracking: TrackingPolicy = TrackingPolicy()
    crossing: CrossingPolicy = CrossingPolicy()
    speed: SpeedPolicy = SpeedPolicy()
    windows: WindowPolicy = WindowPolicy()
    health: HealthPolicy = HealthPolicy()
    wait_for_close_ms: int = 30_000  # a moved camera's new epoch waits this long for the end of the old one
    held_records: int = 2_000  # and no more records than this wait


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
    road: Road = UNKNOWN  # what was learned of it in this view
    roads: dict[int, Road] = {}  # and in other views, for when they are back
    trails: dict[str, Trail] = {}
    motions: dict[str, Motion] = {}  # by track; only where the scene measures speed
    crowds: dict[str, Crowd] = {}  # by zone
    learned: Learned = Learned()  # where vehicles go
    model: str = ""  # what saw the last picture
    windows: Windows = Windows()
    held: list[Record] = []  # records of a later epoch that must wait for the end of this one
    health: HealthMemory = HealthMemory()
    trusted: Windows | None = None  # the windows as they were when a doubt about the camera's health began
    trusted_road: Road | None = None  # and the road, before it was learned of what may be another view
    doubted: list[Event] = []  # what road users did since: not valid if the doubt comes true

    @property
    def includes(self) -> tuple[int, int]:
        """(epoch, seq) of the last record in this memory."""
        return (self.epoch, self.seq)

    @property
    def healthy(self) -> bool | None:
        """Whether the camera's pictures can be trusted; None: not known, and nothing is held against them."""
        return self.health.healthy

    @property
    def view(self) -> int:
        """Which view the camera shows: 0 at first; rises when a new one is taken on, returns with an old one."""
        return self.health.number


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


def finish(memory: Memory, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """End a log for good (a file without a broker): tell what is unfinished, and every window that has something to say."""
    if memory.now_ms is None:
        return memory, []
    clock = memory.opened.clock if memory.opened is not None else Clock.ARRIVAL
    moment = Moment(memory.log, memory.camera, memory.epoch, memory.seq, memory.now_ms, clock, memory.model)
    memory, outputs = _cut(memory, moment, _aspect(memory), policy)
    windows, flows = passed(
        memory.windows, memory.now_ms or 0, camera=memory.camera, scene=memory.scene, policy=policy.windows, final=True
    )
    return msgspec.structs.replace(memory, windows=windows), [*outputs, *flows]


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
    view = memory.view
    match body:
        case Opened():
            memory, outputs = _open(memory, header, body, policy)
        case Scene():
            memory, outputs = _draw(memory, header, body, policy)
            memory = msgspec.structs.replace(memory, health=drawn(memory.health, body.revision, header.captured_ms))
        case Gap():
            memory = _blind(memory)
        case Health():
            memory, outputs = _judge(memory, header, body, policy)
        case Detections():
            memory, outputs = _unheard(memory, header, policy)
            memory, seen = _look(memory, header, body, policy)
            outputs += seen
        case Closed():
            memory = msgspec.structs.replace(_blind(memory), closed=True)
        case _:  # a tick: time passes
            pass
    if memory.view != view:
        memory = _turned(memory, view)
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


def _open(memory: Memory, header: Header, opened: Opened, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    if memory.epoch == header.epoch and memory.opened is not None:
        return memory, []  # a keyframe
    aspect = _aspect(memory, header)  # of the epoch that ends
    reshaped = memory.opened is not None and not opened.source_size.same_shape(memory.opened.source_size)
    memory = msgspec.structs.replace(_blind(memory), opened=opened, closed=False)
    outputs: list[Output] = []
    if opened.restarts or reshaped or (memory.now_ms is not None and header.captured_ms < memory.now_ms):
        memory, outputs = _cut(memory, _moment(header, memory.model), aspect, policy)
        memory = msgspec.structs.replace(memory, now_ms=None if opened.restarts else memory.now_ms)
    if reshaped:  # the cells of its fields lie on the picture as it was
        memory = msgspec.structs.replace(memory, road=UNKNOWN, roads={}, trusted_road=None)
    return memory, outputs


def _cut(memory: Memory, moment: Moment, aspect: float, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """Sight ends for every track and every crowd."""
    outputs: list[Output] = []
    if memory.scene is not None:
        measure = Measure(memory.scene, moment, aspect, policy.crossing, memory.learned)
        for track in memory.tracks:
            if track.id in memory.trails:
                measure.end(track, memory.trails[track.id], Ending.CUT)
        measure.end_crowds(memory.crowds)
        outputs += measure.events
    return msgspec.structs.replace(memory, tracks=[], trails={}, motions={}, crowds={}), outputs


def _draw(memory: Memory, header: Header, scene: Scene, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """A new scene: lines and zones that stayed where they were go on, the others begin anew.

    Where places or movements changed, journeys and what was learned of them begin anew; where the calibration or speed
    traps did, the measuring of speeds.
    """
    old = memory.scene
    if old is not None and scene == old:
        return memory, []  # a keyframe
    same = {line.name for line in scene.lines if old and line in old.lines}
    stay = {zone.name for zone in scene.zones if old and zone in old.zones}
    outputs: list[Output] = []
    if old is not None:
        measure = Measure(old, _moment(header, memory.model), _aspect(memory, header), policy.crossing, memory.learned)
        gone = [zone.name for zone in old.zones if zone.name not in stay]
        for track in memory.tracks:
            if track.id in memory.trails:
                measure.leave_zones(track, memory.trails[track.id], gone)
        measure.end_crowds({zone: crowd for zone, crowd in memory.crowds.items() if zone in gone})
        outputs += measure.events
    goes_on = old is not None and (scene.lines, scene.zones, scene.movements, scene.movement_places) == (
        old.lines,
        old.zones,
        old.movements,
        old.movement_places,
    )
    trails = {
        track: msgspec.structs.replace(
            trail,
            lines={name: kept for name, kept in trail.lines.items() if name in same},
            zones={name: kept for name, kept in trail.zones.items() if name in stay},
            journey=trail.journey if goes_on else None,
        )
        for track, trail in memory.trails.items()
    }
    memory = msgspec.structs.replace(
        memory,
        scene=scene,
        trails=trails,
        motions=memory.motions if same_measure(old, scene) else {},
        crowds={zone: crowd for zone, crowd in memory.crowds.items() if zone in stay},
        learned=memory.learned if goes_on else Learned(),
    )
    return memory, outputs


def _moment(header: Header, model: str) -> Moment:
    return Moment(header.log, header.camera, header.epoch, header.seq, header.captured_ms, header.clock, model)


def _judge(memory: Memory, header: Header, health: Health, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """One measured picture: what the camera's health is, and what that means for what was counted since it is so."""
    before = memory.health
    after, since_ms, evidence = judge(
        before, health, header.captured_ms, aspect=_aspect(memory, header), policy=policy.health
    )
    windows, road, outputs = memory.windows, memory.road, list[Output]()
    if since_ms is not None:
        outputs.append(_changed(memory, after, header, since_ms, evidence))
        if memory.trusted is not None and after.state is not None and after.healthy is False:
            windows = taken_back(windows, memory.trusted, since_ms, after.state, policy.windows)
            road = memory.trusted_road or memory.road
            outputs += [msgspec.structs.replace(e, revision=e.revision + 1, valid=False) for e in memory.doubted]
    if after.state is not None and after.healthy is False:
        windows = unwell(windows, header.captured_ms, after.state, policy.windows)
    turns = (after.healthy is False) != (before.healthy is False)
    motions = {} if turns else memory.motions  # no speed is made of pictures of which some cannot be trusted
    memory = msgspec.structs.replace(memory, health=after, windows=windows, road=road, motions=motions)
    began_ms = after.doubt.since_ms if after.doubt is not None else None
    if began_ms is None:
        memory = _trusting(memory, trusts=False)
    elif before.doubt is None or before.doubt.since_ms != began_ms:
        memory = _trusting(memory, trusts=after.healthy is not False)
    return memory, outputs


def _trusting(memory: Memory, *, trusts: bool) -> Memory:
    """A doubt about the camera's health begins, if what it shows is trusted until now; else there is none to be kept."""
    return msgspec.structs.replace(
        memory,
        trusted=memory.windows if trusts else None,
        trusted_road=memory.road if trusts else None,
        doubted=[],
    )


def _turned(memory: Memory, before: int) -> Memory:
    """Another view: what was learned of the one before is kept for when it is back; places there are not places here."""
    known = {view.number for view in memory.health.past}
    roads = {number: road for number, road in {**memory.roads, before: memory.road}.items() if number in known}
    return msgspec.structs.replace(memory, road=memory.roads.get(memory.view, UNKNOWN), roads=roads, motions={})


def _unheard(memory: Memory, header: Header, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """A picture came: if pictures of this camera are not measured any more, nothing is known of its health."""
    after = unheard(memory.health, header.captured_ms, policy.health)
    if after is memory.health:
        return memory, []
    change = _changed(memory, after, header, header.captured_ms, None)
    return _trusting(msgspec.structs.replace(memory, health=after), trusts=False), [change]


def _changed(
    memory: Memory, after: HealthMemory, header: Header, since_ms: int, evidence: HealthEvidence | None
) -> HealthChange:
    return HealthChange(
        id=f"{header.log}/{memory.camera}/health/{header.epoch}-{header.seq}",
        camera=memory.camera,
        before=memory.health.state,
        after=after.state,
        since_ms=since_ms,
        captured_ms=header.captured_ms,
        view=after.number,
        evidence=evidence,
        clock=Clock(header.clock),
        scene_revision=memory.scene.revision if memory.scene is not None else 0,
        epoch=header.epoch,
        model=memory.model,
    )


def _look(memory: Memory, header: Header, seen: Detections, policy: ScenePolicy) -> tuple[Memory, list[Output]]:
    """One analysed frame."""
    if memory.now_ms is not None and header.captured_ms <= memory.now_ms and memory.tracks:
        last = max(t.seen_ms for t in memory.tracks)
        if header.captured_ms <= last:
            return memory, []  # no time has passed since the last picture: it tells nothing new
    aspect = _aspect(memory, header)
    windows = memory.windows
    blind = memory.seen_ms is None or header.captured_ms - memory.seen_ms > _hold_ms(memory, policy)
    valid = memory.healthy is not False
    if valid and memory.seen_ms is not None and not blind and header.captured_ms > memory.seen_ms:
        windows = saw(windows, memory.seen_ms, header.captured_ms, _inside(memory), policy.windows)
    plane = plane_of(memory.scene)
    tracks, ended, road = follow(
        memory.tracks,
        seen,
        at=(header.epoch, header.seq, header.captured_ms),
        aspect=aspect,
        policy=policy.tracking,
        road=_road(memory, plane),
    )
    glance = Glance(header, memory.scene, aspect, policy.speed, seen)
    motions = moved(memory.motions, tracks, glance)
    living = {track.id: track for track in tracks}
    vouched = {name: track for name, track in living.items() if track.weight >= policy.tracking.evidence}
    memory = msgspec.structs.replace(memory, tracks=tracks, motions=motions, model=seen.model)
    memory, events = _measured(memory, glance, living, vouched, ended, policy, blind=blind)
    if valid:
        windows = counted(windows, events, policy.windows, now_ms=header.captured_ms)
        if plane is not None:
            road = Road(road.flow, memory.road.perspective)
    else:
        road = memory.road
    doubted = memory.doubted
    if valid and events and memory.health.doubt is not None:
        doubted = [*doubted, *(e for e in events if isinstance(e, OfTrack))][-MOST_DOUBTED:]
    memory = msgspec.structs.replace(memory, road=road, doubted=doubted, windows=windows, seen_ms=header.captured_ms)
    return memory, [*events, _picture(memory, header, vouched, aspect)]


def _road(memory: Memory, plane: GroundPlane | None) -> Road:
    """What is known of the road; where the camera is calibrated its perspective need not be learned."""
    if plane is None:
        return memory.road
    return Road(memory.road.flow, Perspective.measured(plane.matrix[2].tolist()))


def _measured(
    memory: Memory,
    glance: Glance,
    living: Mapping[str, Track],
    vouched: Mapping[str, Track],
    ended: Sequence[Track],
    policy: ScenePolicy,
    *,
    blind: bool,
) -> tuple[Memory, list[Event]]:
    """Hold the tracks of a picture, and those that ended with it, against the scene.

    Args:
        memory: with the tracks, but not the trails, of the picture.
        glance: the picture.
        living: the tracks by id.
        vouched: those with evidence enough to be shown and counted.
        ended: tracks that ended with the picture.
        policy: beliefs and limits.
        blind: nobody saw what was between the picture before and this one.
    """
    aspect, scene = glance.aspect, memory.scene
    before = {
        name: memory.trails.get(name) or Trail(track.foot(aspect), track.seen_ms, height=track.height)
        for name, track in living.items()
        if track.alone > 0  # the way of what was only a part of another vehicle's box is not its own
    }
    if scene is None or not (scene.lines or scene.zones):
        return msgspec.structs.replace(memory, trails=before), []
    measure = Measure(scene, _moment(glance.header, memory.model), aspect, policy.crossing, memory.learned)
    for track in ended:
        if track.id in memory.trails:
            measure.end(track, memory.trails[track.id], Ending.LOST)
    due = {
        name: (track, before[name])
        for name, track in vouched.items()
        if track.own and track.seen_ms > before[name].foot_ms
    }
    trails = before | dict(zip(due, measure.follow(list(due.values())), strict=True))
    limited = any(zone.overcrowded is not None for zone in scene.zones)
    crowds = measure.crowds(memory.crowds, _occupancy(scene, trails), blind=blind) if limited else {}
    motions, events = memory.motions, measure.events
    if events:
        motions, events = clocked(motions, events, due, glance)
    memory = msgspec.structs.replace(memory, trails=trails, motions=motions, crowds=crowds)
    if memory.healthy is False:  # what is seen now is told, but nothing is learned from it
        return memory, [msgspec.structs.replace(e, valid=False) if isinstance(e, OfTrack) else e for e in events]
    return msgspec.structs.replace(memory, learned=measure.learned), events


def _picture(memory: Memory, header: Header, vouched: Mapping[str, Track], aspect: float) -> LiveTracks:
    """The road users of a picture. Of a camera that is not well the speeds are not known: nothing would mark them."""
    motions = memory.motions if memory.healthy is not False else {}
    seen = [(name, track) for name, track in vouched.items() if track.seen_ms == header.captured_ms]
    boxes = boxes_of([track for _, track in seen], aspect)
    live = [
        shown(LiveTrack(name, track.label, *box, round(track.score, 4)), motions.get(name))
        for (name, track), box in zip(seen, boxes, strict=True)
    ]
    return LiveTracks(
        camera=memory.camera, epoch=header.epoch, seq=header.seq, captured_ms=header.captured_ms, tracks=live
    )


def _inside(memory: Memory) -> dict[str, int]:
    """How many vehicles stand in each zone now; one lost from sight a moment ago is still there."""
    return _occupancy(memory.scene, memory.trails) if memory.scene is not None else {}


def _occupancy(scene: Scene, trails: Mapping[str, Trail]) -> dict[str, int]:
    held = {zone.name: 0 for zone in scene.zones}
    for trail in trails.values():
        for zone, presence in trail.zones.items():
            if presence.inside and zone in held:
                held[zone] += 1
    return held


def _aspect(memory: Memory, header: Header | None = None) -> float:
    if memory.opened is not None:
        return memory.opened.source_size.aspect
    size = (header.source_size or header.size) if header is not None else None
    return size.aspect if size is not None else 16 / 9
