"""Longer windows and groups: 30-second flow of a camera becomes minutes, minutes of cameras become a group's.

A place (a camera, or a group) has a state, and a fold adds one window ("part") to it. The state holds, for
each source and start, what it includes and in which revision. So a repeat changes nothing, a later revision
replaces, and folding a part of the log again after a crash ends in the same state.

A camera's state is one value. A group's is one value for each stretch of its longest window, and a small head:
members read from logs of their own may be hours of capture time apart while a backlog is worked off, and a
group of a hundred cameras must not be written whole for each of them.

Time here is the capture time the parts carry. A place has reached T, the end of the newest part it knows
of (in a group: the fastest member's). A window [start, end) is said

- at once when all its parts are there;
- with what there is when T >= end + grace: the rest will not come;
- again, revision + 1, whenever a late part or a revision changes what was said.

A window with no part at all is never said: nothing is known of it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from pipeline.core.model import Flow, FlowCount, FlowSpeed, GroupId, LineFlow, Way, ZoneFlow
from pipeline.errors import Poison

SNAPSHOT_VERSION = 1
"""The layout of a state's bytes."""

Counts = tuple[tuple[str, str, int], ...]
"""(direction, class, count), sorted."""


Means = tuple[tuple[str, int, float | None], ...]
"""(direction, number of known speeds, their mean in km/h), sorted. Medians cannot be summed up and are not kept."""


Position = tuple[int, int]
"""(offset, time of writing in ms) of a record in its log.

A record that is not beyond the last one a state holds is read again after a crash; its time is asked too, for
the offsets of a log that is made anew begin at 0.
"""


class RollupPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of place is folded. All times are ms of capture time.

    Raises:
        ValueError: if the windows are not whole multiples of each other and of the part, or if a window
            could be forgotten before it is said.
    """

    part_ms: int  # the length of what is folded
    windows_ms: tuple[int, ...]  # the lengths of what is said
    grace_ms: int  # how long after its end a window waits for missing parts
    keep_ms: int  # how far back parts may still come or change; older ones are late and are not counted
    turn_back: int = 0  # after so many late parts in a row the source's clock has gone back: begin anew; 0 = never

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.part_ms < 1 or not self.windows_ms:
            raise ValueError("a roll-up needs a part of at least 1 ms and at least one window")
        longest = max(self.windows_ms)
        if any(window % self.part_ms or longest % window for window in self.windows_ms):
            raise ValueError(
                f"windows {self.windows_ms} must be multiples of the part ({self.part_ms} ms) and divide the longest"
            )
        if self.grace_ms < 0 or self.keep_ms < longest + self.grace_ms:
            raise ValueError(
                f"keep_ms ({self.keep_ms}) must be at least the longest window and the grace ({longest} + {self.grace_ms})"
            )

    def horizon_ms(self, reached_ms: int) -> int:
        """Parts that start before this are late, once the place has reached `reached_ms`.

        It stands on a border of the longest window, so that no window is ever half forgotten.
        """
        longest = max(self.windows_ms)
        return (reached_ms - self.keep_ms) // longest * longest


CAMERAS = RollupPolicy(part_ms=30_000, windows_ms=(60_000, 300_000), grace_ms=30_000, keep_ms=900_000, turn_back=4)
"""A camera's parts come from one ordered log: the next one tells that a missing one will not come."""

GROUPS = RollupPolicy(part_ms=60_000, windows_ms=(60_000, 300_000), grace_ms=60_000, keep_ms=6 * 3_600_000)
"""Members come from many logs; one minute after the fastest, the group speaks with those it has.

It keeps as long as `detections` does: no member can be further behind and still come.
"""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one camera on its way to one of its groups (topic `aggregate-members`)."""

    group: GroupId
    group_revision: int
    expected: int  # cameras in the group, in that revision
    flow: Flow


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What the state keeps of one part."""

    order: tuple[int, int, int]  # revision of the part, of the group, members of the group: the greater replaces
    coverage: float
    lines: tuple[tuple[str, Counts], ...]
    zones: tuple[tuple[str, float | None, int | None, float | None], ...]  # name, mean, max, occupied share
    scene_revision: int | None = None
    speeds: tuple[tuple[str, Means], ...] = ()  # by line


class Rollup(msgspec.Struct, frozen=True, array_like=True):
    """All a camera remembers, or a group of one stretch."""

    version: int
    place: str
    kind: str
    newest_ms: int  # start of the newest part
    turn: int  # how often its clock has gone back
    parts: dict[str, dict[int, Part]]  # camera -> start -> part
    said: dict[int, dict[int, int]]  # window -> start -> revision that was said last
    late: tuple[tuple[int, int], ...] = ()  # (start, revision) of late parts since the last that was not
    position: Position = (-1, -1)  # of the last part in its log


class Folded(msgspec.Struct, frozen=True):
    """What one part did."""

    state: Rollup | None  # None: nothing to write
    flows: tuple[Flow, ...] = ()  # windows to say, in the order of their end
    late: bool = False  # too old to be counted
    repeated: bool = False  # known already


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a group remembers of itself."""

    version: int
    group: str
    newest_ms: int  # start of the newest part, of the fastest member
    stretches: dict[int, bool]  # start of each stretch that is kept -> whether a window in it was never said


class FoldedGroup(msgspec.Struct, frozen=True):
    """What one part did to a group. The stretches must be kept before the head."""

    stretches: dict[int, Rollup | None]  # what to write; None: forget it
    head: Head | None  # None: nothing to write
    flows: tuple[Flow, ...] = ()
    late: bool = False
    repeated: bool = False


S = TypeVar("S", Rollup, Head)


def fold_camera(
    state: Rollup | None, flow: Flow, policy: RollupPolicy = CAMERAS, position: Position | None = None
) -> Folded:
    """Add one window of `policy.part_ms` of a camera to the camera's own state.

    Args:
        state: what the camera remembers; None: nothing yet.
        flow: the part; its place is the camera.
        policy: lengths and times.
        position: where the part stands in its log; without it a part that is read again after the time kept
            has passed is told late.

    Raises:
        Poison: if the part cannot be one (length, start, coverage).
    """
    order = (flow.revision, 0, 1)
    return _fold(state or _nothing(flow.place, "camera", flow.start_ms), flow, order, policy, position)


def fold_group(
    head: Head | None,
    recall: Callable[[int], Rollup | None],
    member: Member,
    policy: RollupPolicy = GROUPS,
    position: Position | None = None,
) -> FoldedGroup:
    """Add one window of one member to its group; names become `camera/line` and `camera/zone`.

    Args:
        head: what the group remembers of itself; None: nothing yet.
        recall: what it remembers of the stretch that starts there.
        member: the part.
        policy, position: as in `fold_camera`.

    Raises:
        Poison: if the part cannot be one.
    """
    flow, part_ms, longest = member.flow, policy.part_ms, max(policy.windows_ms)
    _check(flow, policy)
    known = head or Head(SNAPSHOT_VERSION, member.group, flow.start_ms, {})
    if flow.start_ms < policy.horizon_ms(known.newest_ms + part_ms):
        return FoldedGroup({}, None, late=True)
    order = (flow.revision, member.group_revision, member.expected)
    newest = max(known.newest_ms, flow.start_ms)
    mine = flow.start_ms // longest * longest
    waiting = {begin for begin, unsaid in known.stretches.items() if unsaid and newest > known.newest_ms}
    stretches, changed, flows, repeated = dict(known.stretches), dict[int, Rollup | None](), list[Flow](), False
    for begin in sorted(waiting | {mine}):
        before = recall(begin) or _nothing(member.group, "group", begin)
        added = _add(before, flow, order, position) if begin == mine else None
        repeated = repeated or (begin == mine and added is None)
        said = _say(before, added or before, newest + part_ms, policy, flow.start_ms if added else None)
        stretches[begin] = said.unsaid
        flows += said.flows
        if said.state != before:
            changed[begin] = said.state
    for begin in [begin for begin in stretches if begin < policy.horizon_ms(newest + part_ms)]:
        del stretches[begin]
        changed[begin] = None
    now = Head(SNAPSHOT_VERSION, member.group, newest, stretches)
    return FoldedGroup(changed, None if now == head else now, tuple(flows), repeated=repeated)


def merge_heads(one: Head, other: Head, policy: RollupPolicy) -> Head:
    """As `merge`; a stretch that one of them has not said whole is looked at again."""
    newest = max(one.newest_ms, other.newest_ms)
    horizon = policy.horizon_ms(newest + policy.part_ms)
    stretches = {
        begin: one.stretches.get(begin, False) or other.stretches.get(begin, False)
        for begin in sorted(one.stretches.keys() | other.stretches.keys())
        if begin >= horizon
    }
    return msgspec.structs.replace(one, newest_ms=newest, stretches=stretches)


def merge(one: Rollup, other: Rollup, policy: RollupPolicy) -> Rollup:
    """What two states of one place know together; of two writers, neither can make the other's work undone.

    The order of the two does not matter, and a state merged with itself or an older one of its own is itself.
    """
    if one.turn != other.turn:
        return max(one, other, key=lambda state: state.turn)
    parts = {source: dict(known) for source, known in one.parts.items()}
    for source, known in other.parts.items():
        mine = parts.setdefault(source, {})
        for start, part in known.items():
            if start not in mine or mine[start].order < part.order:
                mine[start] = part
    said = {window: dict(starts) for window, starts in one.said.items()}
    for window, starts in other.said.items():
        mine_said = said.setdefault(window, {})
        for start, revision in starts.items():
            mine_said[start] = max(revision, mine_said.get(start, 0))
    newest = max(one.newest_ms, other.newest_ms)
    late = max(one, other, key=lambda state: (state.position, state.newest_ms, state.late)).late
    position = (max(one.position[0], other.position[0]), max(one.position[1], other.position[1]))
    both = msgspec.structs.replace(one, newest_ms=newest, parts=parts, said=said, late=late, position=position)
    return _without_old(both, policy)


def state_bytes(state: Rollup | Head) -> bytes:
    """The state as a changelog keeps it."""
    return msgspec.msgpack.encode(state)


def state_from(data: bytes, kind: type[S]) -> S:
    """Read a state. Raises Poison, also for a version this code does not know."""
    try:
        version = msgspec.msgpack.decode(data, type=list[msgspec.Raw])[:1]
        if not version or msgspec.msgpack.decode(version[0], type=int) != SNAPSHOT_VERSION:
            raise Poison(
                f"a saved roll-up is not of version {SNAPSHOT_VERSION}: a newer gantry wrote it, upgrade this one"
            )
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as exc:
        raise Poison(f"a saved roll-up cannot be read: {exc}") from exc


def _nothing(place: str, kind: str, start_ms: int, turn: int = 0) -> Rollup:
    return Rollup(SNAPSHOT_VERSION, place, kind, start_ms, turn, {}, {})


def _fold(
    state: Rollup, flow: Flow, order: tuple[int, int, int], policy: RollupPolicy, position: Position | None
) -> Folded:
    """A camera's part into its one value."""
    _check(flow, policy)
    if _read_again(state, position):
        return Folded(None, repeated=True)
    start = flow.start_ms
    if start < policy.horizon_ms(state.newest_ms + policy.part_ms):
        if (start, flow.revision) in state.late or not policy.turn_back:
            return Folded(None, late=True, repeated=(start, flow.revision) in state.late)
        late = (*state.late, (start, flow.revision))
        if len(late) < policy.turn_back:
            return Folded(msgspec.structs.replace(state, late=late, position=_further(state, position)), late=True)
        anew = _nothing(state.place, state.kind, start, state.turn + 1)
        state = msgspec.structs.replace(anew, position=state.position)
    after = _add(state, flow, order, position)
    if after is None:
        return Folded(None, repeated=True)
    said = _say(state, after, after.newest_ms + policy.part_ms, policy, start)
    return Folded(_without_old(said.state, policy), said.flows)


def _read_again(state: Rollup, position: Position | None) -> bool:
    return position is not None and position[0] <= state.position[0] and position[1] <= state.position[1]


def _further(state: Rollup, position: Position | None) -> Position:
    return state.position if position is None else (position[0], max(position[1], state.position[1]))


def _add(state: Rollup, flow: Flow, order: tuple[int, int, int], position: Position | None) -> Rollup | None:
    """The state with the part in it; None: it was."""
    known = state.parts.get(flow.place, {}).get(flow.start_ms)
    if _read_again(state, position) or (known is not None and known.order >= order):
        return None
    parts = {**state.parts, flow.place: {**state.parts.get(flow.place, {}), flow.start_ms: _part(flow, order)}}
    newest = max(state.newest_ms, flow.start_ms)
    return msgspec.structs.replace(state, parts=parts, newest_ms=newest, late=(), position=_further(state, position))


class _Said(msgspec.Struct, frozen=True):
    state: Rollup
    flows: tuple[Flow, ...]
    unsaid: bool  # there is a window that was never said


def _say(before: Rollup, after: Rollup, reached_ms: int, policy: RollupPolicy, start: int | None) -> _Said:
    """Say what there is to say at `reached_ms`, and after the part at `start` came in."""
    flows: list[Flow] = []
    said = {window: dict(starts) for window, starts in after.said.items()}
    unsaid = False
    for window, begin in _to_look_at(after, start, policy):
        revision = said.get(window, {}).get(begin)
        now = _window(after, window, begin, policy)
        if revision is None:
            complete = now.parts >= now.parts_expected
            if not complete and reached_ms < begin + window + policy.grace_ms:
                unsaid = True
                continue
        elif now.flow == _window(before, window, begin, policy).flow:
            continue
        revision = 0 if revision is None else revision + 1
        said.setdefault(window, {})[begin] = revision
        flows.append(msgspec.structs.replace(now.flow, revision=revision))
    return _Said(msgspec.structs.replace(after, said=said), tuple(flows), unsaid)


def _check(flow: Flow, policy: RollupPolicy) -> None:
    if flow.window_ms != policy.part_ms:
        raise Poison(f"a window of {flow.window_ms} ms of {flow.place} cannot be a part of {policy.part_ms} ms")
    if flow.start_ms % policy.part_ms:
        raise Poison(
            f"the window of {flow.place} that starts at {flow.start_ms} ms is not aligned to {policy.part_ms} ms"
        )
    if not 0.0 <= flow.coverage <= 1.0:
        raise Poison(
            f"the window of {flow.place} that starts at {flow.start_ms} ms has a coverage of {flow.coverage}; it is a share, 0 to 1"
        )


def _part(flow: Flow, order: tuple[int, int, int]) -> Part:
    lines = tuple(
        sorted(
            (line.line, tuple(sorted((c.direction.value, c.label, c.count) for c in line.counts)))
            for line in flow.lines
        )
    )
    zones = tuple(
        sorted(
            ((z.zone, z.mean_vehicles, z.max_vehicles, z.occupied_share) for z in flow.zones), key=lambda zone: zone[0]
        )
    )
    speeds = tuple(
        sorted(
            (
                (line.line, tuple(sorted((s.direction.value, s.speeds, s.mean_kmh) for s in line.speeds)))
                for line in flow.lines
                if line.speeds
            ),
            key=lambda line: line[0],
        )
    )
    return Part(order, flow.coverage, lines, zones, flow.scene_revision, speeds)


def _counts(counter: Counter[tuple[str, str]]) -> Counts:
    return tuple((direction, label, counter[direction, label]) for direction, label in sorted(counter))


def _to_look_at(state: Rollup, start: int | None, policy: RollupPolicy) -> list[tuple[int, int]]:
    """(window, begin) of the windows the part is in, and of those that were never said; by their end."""
    found = set() if start is None else {(window, start // window * window) for window in policy.windows_ms}
    starts = {begin for known in state.parts.values() for begin in known}
    for window in policy.windows_ms:
        found |= {
            (window, begin) for begin in {s // window * window for s in starts} - state.said.get(window, {}).keys()
        }
    return sorted(found, key=lambda one: (one[0] + one[1], one[0]))


class _Window(msgspec.Struct, frozen=True):
    flow: Flow  # revision 0
    parts: int
    parts_expected: int


def _window(state: Rollup, window: int, begin: int, policy: RollupPolicy) -> _Window:
    """Sum up what the state knows of one window; the same for the same parts, whatever order they came in."""
    group = state.kind == "group"
    mine = [
        (source, part)
        for source in sorted(state.parts)
        for start, part in sorted(state.parts[source].items())
        if begin <= start < begin + window
    ]
    reported = len({source for source, _ in mine})
    expected = max((part.order[1:] for _, part in mine), default=(0, 0))[1]
    owners = max(expected, reported, 1)
    lines: dict[str, Counter[tuple[str, str]]] = {}
    speeds: dict[str, dict[str, list[tuple[int, float | None]]]] = {}
    zones: dict[str, list[tuple[float, float | None, int | None, float | None]]] = {}
    for source, part in mine:
        for line, counts in part.lines:
            sum_of = lines.setdefault(f"{source}/{line}" if group else line, Counter())
            for direction, label, count in counts:
                sum_of[direction, label] += count
        for line, means in part.speeds:
            of_line = speeds.setdefault(f"{source}/{line}" if group else line, {})
            for direction, known, mean in means:
                of_line.setdefault(direction, []).append((known, mean))
        for zone, mean, most, occupied in part.zones:
            zones.setdefault(f"{source}/{zone}" if group else zone, []).append((part.coverage, mean, most, occupied))
    scenes = [part.scene_revision for _, part in mine if part.scene_revision is not None]
    flow = Flow(
        place=state.place,
        kind=state.kind,
        start_ms=begin,
        window_ms=window,
        coverage=round(min(1.0, math.fsum(part.coverage for _, part in mine) * policy.part_ms / (window * owners)), 6),
        lines=[
            LineFlow(
                line=name,
                counts=[FlowCount(direction=Way(d), label=label, count=n) for d, label, n in _counts(lines[name])],
                speeds=[_speed(direction, parts) for direction, parts in sorted(speeds.get(name, {}).items())],
            )
            for name in sorted(lines)
        ],
        zones=[
            ZoneFlow(
                zone=name,
                mean_vehicles=_mean((seen, mean) for seen, mean, _, _ in zones[name]),
                max_vehicles=max((most for _, _, most, _ in zones[name] if most is not None), default=None),
                occupied_share=_mean((seen, occupied) for seen, _, _, occupied in zones[name]),
            )
            for name in sorted(zones)
        ],
        members=reported if group else None,
        members_expected=owners if group else None,
        scene_revision=max(scenes) if scenes and not group else None,
    )
    return _Window(flow, len(mine), owners * (window // policy.part_ms))


def _speed(direction: str, parts: list[tuple[int, float | None]]) -> FlowSpeed:
    """The speeds of all parts together."""
    known = [(n, mean) for n, mean in parts if n and mean is not None]
    count = sum(n for n, _ in known)
    mean = round(math.fsum(n * mean for n, mean in known) / count, 2) if count else None
    return FlowSpeed(direction=Way(direction), speeds=count, mean_kmh=mean, median_kmh=None)


def _mean(seen_and_value: Iterator[tuple[float, float | None]]) -> float | None:
    """The mean over the time seen; None where nothing was seen."""
    known = [(seen, value) for seen, value in seen_and_value if value is not None and seen > 0]
    if not known:
        return None
    return round(math.fsum(seen * value for seen, value in known) / math.fsum(seen for seen, _ in known), 6)


def _without_old(state: Rollup, policy: RollupPolicy) -> Rollup:
    horizon = policy.horizon_ms(state.newest_ms + policy.part_ms)
    parts = {source: {s: part for s, part in known.items() if s >= horizon} for source, known in state.parts.items()}
    said = {
        window: {s: revision for s, revision in starts.items() if s >= horizon} for window, starts in state.said.items()
    }
    return msgspec.structs.replace(
        state,
        parts={source: known for source, known in parts.items() if known},
        said={window: starts for window, starts in said.items() if starts},
    )
