"""Tracks held against the scene: what each did to lines and zones since it was last seen, as events.

The rules are in `crossing`, `zones`, `movements` and `crowding`; here each track is led past them and what they find
is told. The work for a track that is nowhere near a place is a few comparisons.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pipeline.core import crossing, crowding, movements, zones
from pipeline.core.anchors import Step, anchor_of, anchored, step_of
from pipeline.core.crossing import Crossed, CrossingPolicy, LineMemory, Ruler, Rulers, lane_of, ruler
from pipeline.core.crowding import Crowd
from pipeline.core.model import (
    Anchor,
    Beginning,
    CameraId,
    Clock,
    Crossing,
    CrowdEnd,
    Ending,
    Entered,
    Event,
    Left,
    Line,
    Movement,
    Overcrowded,
    Point,
    Scene,
    Unfinished,
    Way,
    Zone,
)
from pipeline.core.movements import Finished, Journey, Learned, Places, Visit, places_of
from pipeline.core.tracking import Track
from pipeline.core.zones import Outline, Outlines, Presence, Turn, outline

_RIGHT, _BOTTOM = Way.TO_RIGHT, Anchor.BOTTOM
"""To ask an enumeration for one takes longer than all else that is done with it for most steps."""


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """How far a track's path has been measured against the scene."""

    foot: Point
    foot_ms: int
    lines: dict[str, LineMemory] = {}
    height: float = 0.0  # of its box, then
    anchor: Anchor | None = None  # by the class it had when it was first measured; None: it was not yet
    zones: dict[str, Presence] = {}
    journey: Journey | None = None


class Moment(msgspec.Struct, frozen=True):
    """Where in a camera's log events are told."""

    log: str
    camera: CameraId
    epoch: int
    seq: int
    captured_ms: int
    clock: Clock
    model: str


class Layout:
    """What of a scene does not change from picture to picture: its lines, zones and places, ready to measure by."""

    def __init__(self, scene: Scene, aspect: float) -> None:
        self.lines: list[tuple[str, Line, Ruler]] = [
            (line.name, line, ruler(line.start, line.end, aspect)) for line in scene.lines
        ]
        self.zones: list[tuple[str, Zone, Outline]] = [
            (zone.name, zone, outline(tuple(zone.points), aspect)) for zone in scene.zones
        ]
        self.rulers = Rulers([measure for _, _, measure in self.lines])
        self.outlines = Outlines([measure for _, _, measure in self.zones])
        self.places: Places | None = places_of(scene)


class _This:
    """A scene as a cache's key: it holds lists, so it is known by its identity, which the key keeps from being reused."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def __hash__(self) -> int:
        return id(self.scene)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and self.scene is other.scene


@lru_cache(maxsize=256)
def _layout(this: _This, aspect: float) -> Layout:
    return Layout(this.scene, aspect)


class _Walk(NamedTuple):
    """A track's newest step."""

    track: Track
    trail: Trail  # before it
    label: str
    foot: Point  # now, in shares
    anchor: Anchor
    before: Point  # where the anchor was, in shares
    after: Point


class Measure:
    """One scene at one moment, ready to hold tracks against."""

    def __init__(self, scene: Scene, moment: Moment, aspect: float, policy: CrossingPolicy, learned: Learned) -> None:
        self.scene, self.moment, self.aspect, self.policy, self.learned = scene, moment, aspect, policy, learned
        self.layout = _layout(_This(scene), aspect)
        self.places = self.layout.places
        self.events: list[Event] = []
        self._common = {
            "camera": moment.camera, "clock": moment.clock, "scene_revision": scene.revision, "epoch": moment.epoch,
            "model": moment.model,
        }  # fmt: skip

    def follow(self, due: Sequence[tuple[Track, Trail]]) -> list[Trail]:
        """Hold the newest step of each track against every line and zone, and note what it did.

        Args:
            due: tracks that were seen since, each with its trail so far.

        Returns:
            Their trails now, in the same order.
        """
        if not due:
            return []
        walks = [self._walk(track, trail) for track, trail in due]
        points = [walk.before for walk in walks] + [walk.after for walk in walks]
        ends = np.fromiter(chain.from_iterable(points), np.float64, 2 * len(points)).reshape(-1, 2)
        ends[:, 0] *= self.aspect
        every = (*self.layout.rulers.sides(ends), self.layout.outlines.near(ends))
        rows = zip(walks, *(each.tolist() for each in every), strict=True)
        return [self._follow(*row) for row in rows]

    def end(self, track: Track, trail: Trail, how: Ending) -> None:
        """Tell what a track leaves unfinished that is followed no longer."""
        if trail.anchor is None:
            return
        at = anchored(trail.foot, trail.height, trail.anchor)
        for name, stay in trail.zones.items():
            if stay.inside:
                self._left(track, name, stay, how, trail.foot_ms, at, None)
        if trail.journey is not None and self.places is not None:
            self._unfinished(track, trail.journey, self.places, how, trail.foot_ms, at)

    def leave_zones(self, track: Track, trail: Trail, names: Sequence[str]) -> None:
        """Tell that stays in these zones end because the zones do."""
        if trail.anchor is not None:
            at = anchored(trail.foot, trail.height, trail.anchor)
            for name in names:
                if name in trail.zones and trail.zones[name].inside:
                    self._left(track, name, trail.zones[name], Ending.CUT, trail.foot_ms, at, None)

    def crowds(self, crowds: Mapping[str, Crowd], inside: Mapping[str, int], *, blind: bool) -> dict[str, Crowd]:
        """Hold what the zones hold against what they may."""
        kept: dict[str, Crowd] = {}
        for zone in self.scene.zones:
            if zone.overcrowded is None:
                continue
            m = self.moment
            crowd, told = crowding.advance(
                zone.overcrowded,
                crowds.get(zone.name),
                vehicles=inside.get(zone.name, 0),
                now_ms=m.captured_ms,
                blind=blind,
                new_id=f"{m.log}/{m.camera}/{zone.name}/overcrowded/{m.epoch}-{m.seq}",
            )
            if crowd is not None:
                kept[zone.name] = crowd
            if told is not None:
                self._overcrowded(zone, told)
        return kept

    def end_crowds(self, crowds: Mapping[str, Crowd]) -> None:
        """Tell that nobody sees any longer whether these go on."""
        for zone in self.scene.zones:
            if zone.name in crowds and (told := crowding.ended(crowds[zone.name], CrowdEnd.UNSEEN)) is not None:
                self._overcrowded(zone, told)

    # --- rules

    def _walk(self, track: Track, trail: Trail) -> _Walk:
        label, foot = track.label, track.foot(self.aspect)
        anchor = trail.anchor or anchor_of(label, self.scene.anchors)
        if anchor is _BOTTOM:  # nearly always
            return _Walk(track, trail, label, foot, anchor, trail.foot, foot)
        before, after = anchored(trail.foot, trail.height, anchor), anchored(foot, track.height, anchor)
        return _Walk(track, trail, label, foot, anchor, before, after)

    def _step(self, walk: _Walk) -> Step:
        track, trail = walk.track, walk.trail
        band = self.policy.band(walk.label, track.height)
        return step_of(walk.before, trail.foot_ms, walk.after, track.seen_ms, band=band, aspect=self.aspect)

    def _follow(
        self, walk: _Walk, right: Sequence[bool], passes: Sequence[bool], reach: Sequence[float], near: Sequence[bool]
    ) -> Trail:
        """Hold one step against all.

        Args:
            walk: the step.
            right: of each line whether the step ends on its right side.
            passes: whether it changes side.
            reach: how far from the line it ends.
            near: of each zone whether it may come near.
        """
        track, trail = walk.track, walk.trail
        visits: list[Visit] = []
        lines = self._over_lines(walk, right, passes, reach, visits)
        present = self._in_zones(walk, near, visits) if trail.zones or True in near else trail.zones
        journey = trail.journey
        if self.places is not None:
            journey, finished = movements.advance(self.places, journey, visits, walk.after)
            self._finished(track, finished, self.places)
        return Trail(walk.foot, track.seen_ms, lines, track.mean[3], walk.anchor, present, journey)

    def _over_lines(
        self, walk: _Walk, right: Sequence[bool], passes: Sequence[bool], reach: Sequence[float], visits: list[Visit]
    ) -> dict[str, LineMemory]:
        """What it remembers of the lines."""
        remembered = lines = walk.trail.lines
        for (name, line, measure), to_right, over, far in zip(self.layout.lines, right, passes, reach, strict=True):
            known = lines.get(name)
            if known is not None and far <= known.peak and not over and known.changed_ms is None:
                continue  # nearly always: it is nearer than it was, on the same side
            if line.classes is not None and walk.label not in line.classes:
                continue
            if known is None or over or known.changed_ms is not None:
                memory, crossed = crossing.advance(measure, known, self._step(walk))
                if crossed is not None:
                    self._crossed(walk.track, line, crossed, visits)
            elif (known.side is _RIGHT) is to_right:  # further off than ever
                memory = LineMemory(known.side, far, known.times)
            else:
                continue
            if memory is not known:
                if lines is remembered:
                    lines = dict(lines)
                lines[name] = memory
        return lines

    def _in_zones(self, walk: _Walk, near: Sequence[bool], visits: list[Visit]) -> dict[str, Presence]:
        """What it remembers of the zones; near: of each zone whether the step may come near it."""
        remembered = present = walk.trail.zones
        for (name, zone, measure), close in zip(self.layout.zones, near, strict=True):
            known = present.get(name)
            if not close and (known is None or known.settled):
                continue
            if zone.classes is not None and walk.label not in zone.classes and (known is None or not known.inside):
                continue
            stay, changes = zones.advance(measure, known, self._step(walk), first=walk.trail.anchor is None)
            if stay is not known and stay is not None:
                if present is remembered:
                    present = dict(present)
                present[name] = stay
            for change in changes:
                self._turned(walk.track, name, change, visits)
        return present

    # --- words

    def _crossed(self, track: Track, line: Line, crossed: Crossed, visits: list[Visit]) -> None:
        visits.append(Visit(line.name, crossed.way, crossed.captured_ms, crossed.sd_ms))
        self.events.append(
            Crossing(
                id=self._id(track, f"{line.name}/{crossed.nth}"),
                line=line.name,
                lane=lane_of(line.lanes, crossed.along),
                direction=crossed.way,
                direction_name=line.to_right if crossed.way == "to_right" else line.to_left,
                captured_ms=crossed.captured_ms,
                captured_sd_ms=crossed.sd_ms,
                x=round(crossed.at[0], 5),
                y=round(crossed.at[1], 5),
                **self._of(track),
            )
        )

    def _turned(self, track: Track, zone: str, change: zones.Change, visits: list[Visit]) -> None:
        leaves = change.turn is Turn.LEFT
        visits.append(Visit(zone, None, change.captured_ms, change.sd_ms, leaves))
        if leaves:
            self._left(track, zone, change.stay, Ending.CROSSED, change.captured_ms, change.at, change.sd_ms)
        else:
            self._entered(track, zone, change)

    def _id(self, track: Track, rest: str) -> str:
        return f"{self.moment.log}/{self.moment.camera}/{track.id}/{rest}"

    def _of(self, track: Track) -> dict[str, Any]:
        label = track.label
        return self._common | {
            "track": track.id,
            "label": label,
            "score": round(track.score, 4),
            "class_share": round(track.evidence[label] / sum(track.evidence.values()), 4),
        }

    def _entered(self, track: Track, zone: str, change: zones.Change) -> None:
        self.events.append(
            Entered(
                id=self._id(track, f"{zone}/entered/{change.stay.times}"),
                zone=zone,
                began=_began(change.stay),
                captured_ms=change.captured_ms,
                captured_sd_ms=change.sd_ms,
                x=round(change.at[0], 5),
                y=round(change.at[1], 5),
                **self._of(track),
            )
        )

    def _left(
        self, track: Track, zone: str, stay: Presence, how: Ending, ms: int, at: Point, sd_ms: float | None
    ) -> None:
        known = sd_ms is not None and stay.since_sd_ms is not None
        self.events.append(
            Left(
                id=self._id(track, f"{zone}/left/{stay.times}"),
                zone=zone,
                began=_began(stay),
                ended=how,
                entered_ms=stay.since_ms,
                captured_ms=ms,
                dwell_ms=ms - stay.since_ms,
                dwell_sd_ms=round(float(((sd_ms or 0) ** 2 + (stay.since_sd_ms or 0) ** 2) ** 0.5), 1)
                if known
                else None,
                x=round(at[0], 5),
                y=round(at[1], 5),
                **self._of(track),
            )
        )

    def _overcrowded(self, zone: Zone, told: crowding.Told) -> None:
        assert zone.overcrowded is not None
        self.events.append(
            Overcrowded(
                id=told.id,
                revision=told.revision,
                captured_ms=told.begin_ms,
                zone=zone.name,
                limit=zone.overcrowded.vehicles,
                vehicles=told.vehicles,
                end_ms=told.end_ms,
                ended=told.ended,
                **self._common,  # type: ignore[arg-type]
            )
        )

    def _finished(self, track: Track, finished: Sequence[Finished], places: Places) -> None:
        for each in finished:
            self.events.append(
                Movement(
                    id=self._id(track, f"movement/{each.nth}"),
                    origin=each.origin,
                    destination=each.destination,
                    name=places.name(each.origin, each.destination),
                    legal=places.legal(each.origin, each.destination),
                    from_ms=each.from_ms,
                    to_ms=each.to_ms,
                    captured_ms=each.to_ms,
                    travel_ms=each.to_ms - each.from_ms,
                    travel_sd_ms=each.sd_ms,
                    **self._of(track),
                )
            )
        if finished:
            self.learned = movements.learn(self.learned, finished)

    def _unfinished(self, track: Track, journey: Journey, places: Places, how: Ending, ms: int, at: Point) -> None:
        """Who made one movement has finished; what it began after that was on its way out."""
        if journey.origin is None or journey.told:
            return
        began = journey.origin in places.origins
        if began:
            guess = movements.likeliest_destination(places, self.learned, journey.origin, movements.cell_of(at))
        else:
            guess = movements.likeliest_origin(places, self.learned, journey.origin, journey.first)
        self.events.append(
            Unfinished(
                id=self._id(track, "unfinished"),
                origin=journey.origin if began else None,
                destination=None if began else journey.origin,
                at_ms=journey.origin_ms,
                ended=how,
                likeliest=guess.place,
                probability=guess.probability,
                learned=guess.learned,
                captured_ms=ms,
                x=round(at[0], 5),
                y=round(at[1], 5),
                **self._of(track),
            )
        )


def _began(stay: Presence) -> Beginning:
    return Beginning.APPEARED if stay.appeared else Beginning.CROSSED
