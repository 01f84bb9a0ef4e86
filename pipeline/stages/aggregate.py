"""Longer windows of each camera, and windows of groups of cameras.

Two folds, one after the other:

    [flow] 30 s of a camera ─► by camera ─► [flow] 1 and 5 minutes of the camera
                                    └─ the shortest window, once per group of the camera
                                         ─► [aggregate-members] ─► by group ─► [flow] of the group

What a fold adds up is in `core.rollup`; this file says which records it reads, where its words go, and which
groups a camera is in. A camera's windows go to the partition of its 30 seconds (its shard); a group's to the
partition its id gives.

Groups come from the registry topic `groups`, read whole before the first record and followed from then on.
A membership change holds for the windows that are said after it was read: what a group has been told before
stays told, and each record on `aggregate-members` carries the revision and size of the group it was made for.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from pipeline.core.model import CameraId, DeadLetter, Flow, Group
from pipeline.core.rollup import (
    CAMERAS,
    GROUPS,
    Folded,
    FoldedGroup,
    Head,
    Member,
    Position,
    Rollup,
    RollupPolicy,
    fold_camera,
    fold_group,
    merge,
    merge_heads,
    state_bytes,
    state_from,
)
from pipeline.errors import Fatal, Poison
from pipeline.ports import Fold, FoldRunner, LogReader, Message, Meter, Outgoing, Recall, Step
from pipeline.wire.codec import (
    decode_flow,
    decode_json,
    decode_member,
    encode_flow,
    encode_json,
    encode_member,
    header_text,
)
from pipeline.wire.topics import steady_partition

log = logging.getLogger("gantry.aggregate")

FLOW = "flow"
MEMBERS = "aggregate-members"

S = TypeVar("S", Rollup, Head)


class AggregatePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How cameras and groups are rolled up. The shortest camera window is what groups are made of.

    Raises:
        ValueError: if it is not.
    """

    cameras: RollupPolicy = CAMERAS
    groups: RollupPolicy = GROUPS

    def __post_init__(self) -> None:
        """Refuse groups whose parts no camera says."""
        if self.groups.part_ms not in self.cameras.windows_ms:
            raise ValueError(
                f"groups are made of windows of {self.groups.part_ms} ms, cameras say {self.cameras.windows_ms}"
            )

    @classmethod
    def of(cls, windows_ms: Sequence[int], grace_ms: int) -> "AggregatePolicy":
        """The policy for these windows; `grace_ms` is how long a group waits for its slowest member.

        Raises:
            ValueError: if the windows do not fit each other.
        """
        windows = tuple(sorted(set(windows_ms)))
        if not windows:
            raise ValueError("at least one window is needed")
        longest = windows[-1]
        return cls(
            cameras=msgspec.structs.replace(
                CAMERAS, windows_ms=windows, keep_ms=max(CAMERAS.keep_ms, longest + CAMERAS.grace_ms)
            ),
            groups=RollupPolicy(
                part_ms=windows[0],
                windows_ms=windows,
                grace_ms=grace_ms,
                keep_ms=max(GROUPS.keep_ms, longest + grace_ms),
            ),
        )


class GroupBook:
    """Which groups a camera is in, as the registry last said."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._of: dict[CameraId, list[Group]] = {}

    def learn(self, message: Message) -> None:
        """Take a record of the topic `groups`. One that cannot be read is reported and changes nothing."""
        name = (message.key or b"").decode("utf-8", "replace")
        if message.value is None:
            self._groups.pop(name, None)
        else:
            try:
                self._groups[name] = decode_json(message.value, Group, f"group {name!r}")
            except Poison as exc:
                log.warning("groups: %s; what was known of it stays: apply the group again", exc)
                return
        self._of = {}
        for group in self._groups.values():
            for camera in set(group.members):
                self._of.setdefault(camera, []).append(group)

    def of(self, camera: CameraId) -> list[Group]:
        """The groups the camera is in."""
        return self._of.get(camera, [])


class _Done(NamedTuple):
    folded: Folded | FoldedGroup
    step: Step


class CameraFold:
    """30 seconds of a camera become its longer windows, and go to its groups."""

    topic = FLOW
    changelog = "aggregate-cameras-changelog"

    def __init__(self, policy: AggregatePolicy, groups: GroupBook, shards: int, meter: Meter) -> None:
        self._policy, self._groups, self._shards, self._meter = policy, groups, shards, meter
        self._part = str(policy.cameras.part_ms).encode()

    def step(self, message: Message, recall: Recall) -> Step:
        """Fold one record of `flow`. Windows of groups and of other lengths are our own words: not our input.

        Those are left alone whatever version they are of: a newer aggregate beside this one writes its own.
        """
        headers = dict(message.headers)
        kind, window = headers.get("kind"), headers.get("window_ms") or b""
        if kind == b"group" or (kind == b"camera" and window.isdigit() and window != self._part):
            return Step()
        return _step(self._meter, message, "camera", lambda: self._fold(message, recall))

    def _fold(self, message: Message, recall: Recall) -> _Done:
        flow = decode_flow(message.headers, message.value)
        if flow.kind != "camera" or not flow.place:
            raise Poison(f"a flow record of {flow.place!r} is of kind {flow.kind!r}, and no header says so")
        folded = fold_camera(_recalled(recall, flow.place, Rollup), flow, self._policy.cameras, _position(message))
        outputs = [_outgoing(said, message.partition) for said in folded.flows]
        for said in folded.flows:
            if said.window_ms == self._policy.groups.part_ms:
                outputs += [self._to_group(said, group) for group in self._groups.of(CameraId(said.place))]
        states = {} if folded.state is None else {flow.place: state_bytes(folded.state)}
        return _Done(folded, Step(outputs, states))

    def _to_group(self, said: Flow, group: Group) -> Outgoing:
        member = Member(group=group.id, group_revision=group.revision, expected=len(set(group.members)), flow=said)
        out = encode_member(member)
        return Outgoing(MEMBERS, steady_partition(group.id, self._shards), out.key, out.value, out.headers)

    def merge(self, key: str, older: bytes, newer: bytes) -> bytes:  # noqa: ARG002 - the port's
        """See `core.rollup.merge`."""
        return state_bytes(merge(_read(older, Rollup), _read(newer, Rollup), self._policy.cameras))


class GroupFold:
    """Windows of members become windows of their group.

    Its table has a key `group` for the head and a key `group/start` for each stretch (an id holds no slash).
    """

    topic = MEMBERS
    changelog = "aggregate-groups-changelog"

    def __init__(self, policy: AggregatePolicy, meter: Meter) -> None:
        self._policy, self._meter = policy, meter

    def step(self, message: Message, recall: Recall) -> Step:
        """Fold one record of `aggregate-members`."""
        return _step(self._meter, message, "group", lambda: self._fold(message, recall))

    def _fold(self, message: Message, recall: Recall) -> _Done:
        member = decode_member(message.headers, message.value)
        group = member.group
        folded = fold_group(
            _recalled(recall, group, Head),
            lambda start: _recalled(recall, f"{group}/{start}", Rollup),
            member,
            self._policy.groups,
            _position(message),
        )
        states = {
            f"{group}/{start}": None if state is None else state_bytes(state)
            for start, state in folded.stretches.items()
        }
        if folded.head is not None:
            states[group] = state_bytes(folded.head)
        return _Done(folded, Step([_outgoing(said, message.partition) for said in folded.flows], states))

    def merge(self, key: str, older: bytes, newer: bytes) -> bytes:
        """See `core.rollup.merge` and `merge_heads`."""
        if "/" in key:
            return state_bytes(merge(_read(older, Rollup), _read(newer, Rollup), self._policy.groups))
        return state_bytes(merge_heads(_read(older, Head), _read(newer, Head), self._policy.groups))


async def aggregate(
    *, runner: FoldRunner, logs: LogReader, shards: int, policy: AggregatePolicy, meter: Meter, stop: asyncio.Event
) -> None:
    """Roll flow up until `stop`.

    Raises:
        Retry: the runner came to a standstill; end the process, the next one goes on where it stopped.
        Fatal: nothing works until a person mends it.
    """
    groups, known = GroupBook(), asyncio.Event()
    folds: list[Fold] = [CameraFold(policy, groups, shards, meter), GroupFold(policy, meter)]
    following = asyncio.create_task(_follow(logs, groups, known))
    work: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait()), asyncio.create_task(known.wait())]
    try:
        await asyncio.wait([following, *work], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set() and known.is_set():
            running = asyncio.create_task(runner.run(folds, stop))
            work.append(running)
            await asyncio.wait([following, running], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        if following.done():
            following.result()
    finally:
        for task in (following, *work):
            task.cancel()
        await asyncio.gather(following, *work, return_exceptions=True)


async def _follow(logs: LogReader, groups: GroupBook, known: asyncio.Event) -> None:
    async for message in logs.follow("groups"):
        if message is None:
            known.set()
        else:
            groups.learn(message)
    raise Fatal("the topic groups ended; that cannot be: start aggregate again")


def _step(meter: Meter, message: Message, level: str, fold: Callable[[], _Done]) -> Step:
    meter.count("records_in", level=level)
    try:
        done = fold()
    except Poison as exc:
        meter.count("dead_letters", level=level)
        log.warning(
            "%s %d at %d cannot be used (dead letter): %s", message.topic, message.partition, message.offset, exc
        )
        return Step([_dead_letter(message, str(exc))])
    if done.folded.late:
        meter.count("late", level=level)
    if done.folded.repeated:
        meter.count("repeats", level=level)
    for said in done.folded.flows:
        meter.count("windows", level=level, window_s=str(said.window_ms // 1000))
        if said.revision:
            meter.count("revisions", level=level)
    return done.step


def _position(message: Message) -> Position:
    return (message.offset, message.timestamp_ms)


def _recalled(recall: Recall, key: str, kind: type[S]) -> S | None:
    data = recall(key)
    return None if data is None else _read(data, kind)


def _read(data: bytes, kind: type[S]) -> S:
    try:
        return state_from(data, kind)
    except Poison as exc:  # going on without it would say wrong windows
        raise Fatal(str(exc)) from exc


def _outgoing(flow: Flow, partition: int) -> Outgoing:
    encoded = encode_flow(flow)
    return Outgoing(FLOW, partition, encoded.key, encoded.value, encoded.headers)


def _dead_letter(message: Message, reason: str) -> Outgoing:
    letter = DeadLetter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        reason=reason,
        process="aggregate",
        headers=header_text(message.headers),
    )
    return Outgoing("dead-letters", 0, message.key, encode_json(letter))
