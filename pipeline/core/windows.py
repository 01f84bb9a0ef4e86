"""Windows of flow: what crossed which line and who was in which zone, by stretches of capture time.

A window says how much of it was seen (coverage), so that a quiet road and a blind camera never look alike.
Windows close by capture time alone: ticks in the log move it on when no picture comes.
"""

from collections.abc import Iterable, Mapping

import msgspec

from pipeline.core.model import Crossing, Flow, FlowCount, FlowSpeed, LineFlow, Scene, Way, ZoneFlow
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


class Window(msgspec.Struct, frozen=True, array_like=True):
    """One window so far."""

    start_ms: int
    seen_ms: int = 0
    counts: dict[str, int] = {}  # "line|way|class" -> vehicles
    zones: dict[str, ZoneSum] = {}
    revision: int = -1  # of the record last emitted; -1: none yet
    changed: bool = True  # since that record
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
            zones[zone] = ZoneSum(
                z.vehicle_ms + vehicles * ms, z.occupied_ms + (ms if vehicles else 0), max(z.most, vehicles)
            )
        changed[start] = msgspec.structs.replace(window, seen_ms=window.seen_ms + ms, zones=zones, changed=True)
    return _sorted(changed)


def counted(windows: Windows, crossings: Iterable[Crossing], policy: WindowPolicy) -> Windows:
    """Note crossings, each in the window it happened in."""
    changed = {w.start_ms: w for w in windows.open}
    for c in crossings:
        start = c.captured_ms - c.captured_ms % policy.window_ms
        window = changed.get(start, Window(start))
        key = f"{c.line}|{c.direction.value}|{c.label}"
        changed[start] = msgspec.structs.replace(
            window, counts={**window.counts, key: window.counts.get(key, 0) + 1}, changed=True
        )
        if c.speed_kmh is not None:
            way = f"{c.line}|{c.direction.value}"
            speeds = {**changed[start].speeds, way: [*changed[start].speeds.get(way, []), c.speed_kmh]}
            changed[start] = msgspec.structs.replace(changed[start], speeds=speeds)
    return _sorted(changed)


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
    seen = window.seen_ms
    return Flow(
        place=camera,
        kind="camera",
        start_ms=window.start_ms,
        window_ms=policy.window_ms,
        coverage=round(seen / policy.window_ms, 4),
        lines=[
            LineFlow(line=name, counts=counts, speeds=_speeds(window, name, counts, scene))
            for name, counts in lines.items()
        ],
        zones=[
            ZoneFlow(
                zone=name,
                mean_vehicles=round(z.vehicle_ms / seen, 4) if seen else None,
                max_vehicles=z.most if seen else None,
                occupied_share=round(z.occupied_ms / seen, 4) if seen else None,
            )
            for name, z in zones.items()
        ],
        revision=window.revision,
        scene_revision=scene.revision if scene else None,
    )


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


def _sorted(windows: Mapping[int, Window]) -> Windows:
    return Windows([windows[start] for start in sorted(windows)])
