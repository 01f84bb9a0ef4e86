"""Windows of flow: what crossed which line, who was in which zone, who went where, by stretches of capture time.

A window says how much of it was seen (coverage), so that a quiet road and a blind camera never look alike.
Windows close by capture time alone: ticks in the log move it on when no picture comes.
"""

from collections.abc import Collection, Mapping

import msgspec

from pipeline.core.model import (
    Crossing,
    Ending,
    Entered,
    Event,
    Flow,
    FlowCount,
    FlowSpeed,
    HealthState,
    LaneFlow,
    Left,
    LineFlow,
    Movement,
    MovementFlow,
    Scene,
    Way,
    ZoneFlow,
)
from pipeline.core.movements import Places, places_of
from pipeline.core.speed import mean_and_median


class WindowPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When windows open, close and are forgotten."""

    window_ms: int = 30_000
    grace_ms: int = 5_000  # a crossing is known only when the vehicle has left the line's dead band
    keep_ms: int = 120_000  # a window this old can no longer change
    hold_ms: int = 2_000  # without a picture for longer than this, the camera did not see


class ZoneSum(msgspec.Struct, frozen=True, array_like=True):
    """A zone in a window so far."""

    vehicle_ms: int = 0
    occupied_ms: int = 0
    most: int = 0
    entered: int = 0
    left: int = 0  # over the border
    dwell_ms: int = 0  # of those, all together
    longest_ms: int = 0


class Window(msgspec.Struct, frozen=True, array_like=True):
    """One window so far."""

    start_ms: int
    seen_ms: int = 0
    counts: dict[str, int] = {}  # "line|way|class" -> vehicles
    zones: dict[str, ZoneSum] = {}
    revision: int = -1  # of the record last emitted; -1: none yet
    changed: bool = True  # since that record
    lanes: dict[str, int] = {}  # "line|lane|way|class" -> vehicles
    movements: dict[str, int] = {}  # "from|to|class" -> vehicles
    health: HealthState | None = None  # why some of it counts as not seen
    speeds: dict[str, list[float]] = {}  # "line|way" -> km/h of those that are known


class Windows(msgspec.Struct, frozen=True, array_like=True):
    """All windows of a camera that can still change, oldest first."""

    open: list[Window] = []


def saw(windows: Windows, from_ms: int, to_ms: int, inside: Mapping[str, int], policy: WindowPolicy) -> Windows:
    """Note that the camera saw the road in [from_ms, to_ms), with so many vehicles in each zone all the while."""
    changed = {w.start_ms: w for w in windows.open}
    for start in range(from_ms - from_ms % policy.window_ms, to_ms, policy.window_ms):
        window = changed.get(start, Window(start))
        ms = min(to_ms, start + policy.window_ms) - max(from_ms, start)
        zones = dict(window.zones)
        for zone, vehicles in inside.items():
            z = zones.get(zone, ZoneSum())
            zones[zone] = msgspec.structs.replace(
                z,
                vehicle_ms=z.vehicle_ms + vehicles * ms,
                occupied_ms=z.occupied_ms + (ms if vehicles else 0),
                most=max(z.most, vehicles),
            )
        changed[start] = msgspec.structs.replace(window, seen_ms=window.seen_ms + ms, zones=zones, changed=True)
    return _sorted(changed)


def counted(windows: Windows, events: Collection[Event], policy: WindowPolicy, *, now_ms: int | None = None) -> Windows:
    """Note events, each in the window it happened in.

    Args:
        windows: the windows so far.
        events: crossings, stays in zones and movements; others say nothing that is summed up.
        policy: window length and memory.
        now_ms: the latest capture time known; what happened in a window that can no longer change by then, as who
            was lost before a long gap, is left out. None: nothing is.
    """
    if not events:
        return windows
    changed = {w.start_ms: w for w in windows.open}
    for event in events:
        if not isinstance(event, Crossing | Entered | Left | Movement):
            continue
        start = event.captured_ms - event.captured_ms % policy.window_ms
        if now_ms is not None and start + policy.window_ms + policy.keep_ms <= now_ms:
            continue
        changed[start] = _with(changed.get(start, Window(start)), event)
    return _sorted(changed)


def _with(window: Window, event: Crossing | Entered | Left | Movement) -> Window:
    match event:
        case Crossing():
            key = f"{event.line}|{event.direction.value}|{event.label}"
            lanes = window.lanes
            if event.lane is not None:
                lanes = _one_more(lanes, f"{event.line}|{event.lane}|{event.direction.value}|{event.label}")
            speeds = window.speeds
            if event.speed_kmh is not None:
                way = f"{event.line}|{event.direction.value}"
                speeds = {**speeds, way: [*speeds.get(way, []), event.speed_kmh]}
            return msgspec.structs.replace(
                window, counts=_one_more(window.counts, key), lanes=lanes, speeds=speeds, changed=True
            )
        case Movement():
            key = f"{event.origin}|{event.destination}|{event.label}"
            return msgspec.structs.replace(window, movements=_one_more(window.movements, key), changed=True)
        case Entered():
            z = window.zones.get(event.zone, ZoneSum())
            z = msgspec.structs.replace(z, entered=z.entered + 1)
        case Left(ended=Ending.CROSSED):
            z = window.zones.get(event.zone, ZoneSum())
            dwell, longest = z.dwell_ms + event.dwell_ms, max(z.longest_ms, event.dwell_ms)
            z = msgspec.structs.replace(z, left=z.left + 1, dwell_ms=dwell, longest_ms=longest)
        case _:
            return window
    return msgspec.structs.replace(window, zones={**window.zones, event.zone: z}, changed=True)


def _one_more(counts: dict[str, int], key: str) -> dict[str, int]:
    return {**counts, key: counts.get(key, 0) + 1}


def unwell(windows: Windows, at_ms: int, health: HealthState, policy: WindowPolicy) -> Windows:
    """Note that the picture at_ms could not be trusted, and why."""
    start = at_ms - at_ms % policy.window_ms
    by_start = {w.start_ms: w for w in windows.open}
    window = by_start.get(start, Window(start))
    if window.health is health:
        return windows
    return _sorted(by_start | {start: msgspec.structs.replace(window, health=health, changed=True)})


def taken_back(windows: Windows, trusted: Windows, since_ms: int, health: HealthState, policy: WindowPolicy) -> Windows:
    """Forget what was noted since the windows were `trusted`, at since_ms: it could not be, and this is why.

    Windows that were emitted meanwhile are emitted again, with a greater revision.
    """
    before = {w.start_ms: w for w in trusted.open}
    return Windows(
        [
            msgspec.structs.replace(
                before.get(w.start_ms, Window(w.start_ms)), revision=w.revision, changed=True, health=health
            )
            if w.start_ms + policy.window_ms > since_ms
            else w
            for w in windows.open
        ]
    )


def passed(
    windows: Windows, now_ms: int, *, camera: str, scene: Scene | None, policy: WindowPolicy, final: bool = False
) -> tuple[Windows, list[Flow]]:
    """Let capture time reach now_ms: open the window it lies in, emit what has closed, forget what is old.

    Args:
        windows: the windows so far.
        now_ms: the latest capture time known of the camera.
        camera: whose windows they are.
        scene: names the lines and zones that a window lists even when nothing happened there.
        policy: window length, grace and memory.
        final: emit every window now, also the one that is not over (the file ends here).

    Returns:
        (windows still open, records to emit). A window that changes after its record is emitted again with a
        greater revision.
    """
    by_start = {w.start_ms: w for w in windows.open}
    by_start.setdefault(now_ms - now_ms % policy.window_ms, Window(now_ms - now_ms % policy.window_ms))
    kept: dict[int, Window] = {}
    out: list[Flow] = []
    for start, window in sorted(by_start.items()):
        over = final or start + policy.window_ms + policy.grace_ms <= now_ms
        after = window
        if over and window.changed:
            after = msgspec.structs.replace(window, revision=window.revision + 1, changed=False)
            out.append(_flow(after, camera, scene, policy))
        if start + policy.window_ms + policy.keep_ms > now_ms:
            kept[start] = after
    return _sorted(kept), out


def _flow(window: Window, camera: str, scene: Scene | None, policy: WindowPolicy) -> Flow:
    lines: dict[str, list[FlowCount]] = {line.name: [] for line in (scene.lines if scene else [])}
    for key, count in sorted(window.counts.items()):
        name, way, label = key.split("|")
        lines.setdefault(name, []).append(FlowCount(direction=Way(way), label=label, count=count))
    zones = {zone.name: ZoneSum() for zone in (scene.zones if scene else [])} | window.zones
    return Flow(
        place=camera,
        kind="camera",
        start_ms=window.start_ms,
        window_ms=policy.window_ms,
        coverage=round(window.seen_ms / policy.window_ms, 4),
        lines=[
            LineFlow(
                line=name, counts=counts, lanes=_lanes(window, name, scene), speeds=_speeds(window, name, counts, scene)
            )
            for name, counts in lines.items()
        ],
        zones=[_zone(name, z, window.seen_ms) for name, z in zones.items()],
        movements=_movements(window, places_of(scene) if scene is not None else None),
        revision=window.revision,
        scene_revision=scene.revision if scene else None,
        health=window.health,
    )


def _lanes(window: Window, line: str, scene: Scene | None) -> list[LaneFlow]:
    drawn = next((each for each in (scene.lines if scene else []) if each.name == line), None)
    lanes: dict[str, list[FlowCount]] = {lane.name: [] for lane in (drawn.lanes if drawn else [])}
    for key, count in sorted(window.lanes.items()):
        name, lane, way, label = key.split("|")
        if name == line:
            lanes.setdefault(lane, []).append(FlowCount(direction=Way(way), label=label, count=count))
    return [LaneFlow(lane=lane, counts=counts) for lane, counts in lanes.items()]


def _speeds(window: Window, line: str, counts: list[FlowCount], scene: Scene | None) -> list[FlowSpeed]:
    """Of each direction in which something was counted; nothing where no speed can be known."""
    if scene is None or scene.calibration is None:
        return []
    out = []
    for way in sorted({c.direction for c in counts}):
        known = window.speeds.get(f"{line}|{way.value}", [])
        mean, median = mean_and_median(known)
        out.append(FlowSpeed(direction=way, speeds=len(known), mean_kmh=mean, median_kmh=median))
    return out


def _zone(name: str, z: ZoneSum, seen_ms: int) -> ZoneFlow:
    return ZoneFlow(
        zone=name,
        mean_vehicles=round(z.vehicle_ms / seen_ms, 4) if seen_ms else None,
        max_vehicles=z.most if seen_ms else None,
        occupied_share=round(z.occupied_ms / seen_ms, 4) if seen_ms else None,
        entered=z.entered if seen_ms else None,
        left=z.left if seen_ms else None,
        mean_dwell_ms=round(z.dwell_ms / z.left, 1) if z.left else None,
        max_dwell_ms=z.longest_ms if z.left else None,
    )


def _movements(window: Window, places: Places | None) -> list[MovementFlow]:
    """Those that were made. One that is not here was made by nobody - as far as `coverage` saw."""
    out = []
    for key, count in sorted(window.movements.items()):
        origin, destination, label = key.split("|")
        name = places.name(origin, destination) if places is not None else None
        legal = places.legal(origin, destination) if places is not None else None
        out.append(
            MovementFlow(origin=origin, destination=destination, name=name, legal=legal, label=label, count=count)
        )
    return out


def _sorted(windows: Mapping[int, Window]) -> Windows:
    return Windows([windows[start] for start in sorted(windows)])
