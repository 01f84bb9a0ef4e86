"""The board: what serve knows now, and the recent messages. The live path writes it, readers read it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from pipeline.core.feed import (
    CameraDetail,
    CameraStatus,
    Recent,
    Ring,
    Seen,
    Snapshot,
    Vector,
    camera_status,
    without_scene,
    write_token,
)
from pipeline.core.model import Camera, CameraId, Crossing, Flow, Group, GroupId, HealthChange
from pipeline.core.registry import Registry
from pipeline.errors import Poison
from pipeline.ports import Clockwork, Message, Meter, Told
from pipeline.stages.serve.policy import KEPT, REGISTRY, TRACKS, Entry, ServePolicy, entry_of
from pipeline.wire.codec import decode_json, decode_tracks

log = logging.getLogger("gantry.serve")


class TracksEntry(NamedTuple):
    """The live tracks of one frame, as readers get them."""

    camera: str
    told: Told


class Board:
    """What is known now, and what happened lately.

    Attributes:
        ring: recent events and flow, repeats left out; `tracks`: recent frames' tracks.
        next: the next offset of each partition of events and flow.
        floor: the ring has everything of a partition from this offset to `next`.
        at_registry: the next offset of each topic of the registry.
        version: rises when the registry changes.
        changed: is set, and replaced by a fresh one, whenever something is new.
        over: done when no reader gets anything any more.
    """

    def __init__(self, *, log_id: str, meter: Meter, clock: Clockwork, policy: ServePolicy) -> None:
        self.log_id = log_id
        self._meter, self._clock, self._policy = meter, clock, policy
        self.ring: Ring[Entry] = Ring(policy.ring, policy.ring_bytes)
        self.tracks: Ring[TracksEntry] = Ring(policy.tracks_ring, policy.ring_bytes)
        self.next: Vector = {}
        self.floor: Vector = {}
        self.at_registry: Vector = {}
        self.version = 0
        self.history_caught_up = False
        self.changed = asyncio.Event()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._recent = Recent(policy.ids)
        self._shelves: dict[str, dict[Any, Any]] = {topic: {} for topic in REGISTRY}
        self._registry = Registry()
        self._flows: dict[tuple[str, str, int], Flow] = {}
        self._seen: dict[str, Seen] = {}
        self._seen_since: set[str] = set()
        self._awaited = {*KEPT, *REGISTRY}  # topics whose end was not reached yet

    # --- what is known

    @property
    def caught_up(self) -> bool:
        """Whether the end of every topic was reached once."""
        return not self._awaited

    def cameras(self) -> list[CameraStatus]:
        """All cameras, by id."""
        return [without_scene(self._status(camera)) for _, camera in sorted(self._registry.cameras.items())]

    def camera(self, camera: str) -> CameraDetail | None:
        """One camera; None: not in the registry."""
        found = self._registry.cameras.get(CameraId(camera))
        return self._status(found) if found else None

    def groups(self) -> list[Group]:
        """All groups, by id."""
        return [group for _, group in sorted(self._registry.groups.items())]

    def group(self, group: str) -> Group | None:
        """One group; None: not in the registry."""
        return self._registry.groups.get(GroupId(group))

    def snapshot(self, cameras: frozenset[str] | None) -> Snapshot:
        """Everything; or what there is of some cameras, and then no group."""
        known = self._registry

        def wanted(flow: Flow) -> bool:
            if flow.kind == "group":
                return cameras is None and flow.place in known.groups
            return flow.place in known.cameras and (cameras is None or flow.place in cameras)

        return Snapshot(
            at_ms=self._clock.now_ms(),
            cameras=[camera for camera in self.cameras() if cameras is None or camera.id in cameras],
            groups=self.groups() if cameras is None else [],
            flow=[flow for _, flow in sorted(self._flows.items()) if wanted(flow)],
        )

    def token(self) -> str:
        """The place after everything that is on the board."""
        return write_token(self.log_id, self.next | self.at_registry)

    def registry(self) -> tuple[Registry, int] | None:
        """The registry and its version; None until the log has told all of it."""
        return None if self._awaited & set(REGISTRY) else (self._registry, self.version)

    def seen_since(self) -> dict[str, Seen]:
        """What cameras were seen since the last call."""
        cameras, self._seen_since = self._seen_since, set()
        return {camera: self._seen[camera] for camera in cameras if camera in self._seen}

    def _status(self, camera: Camera) -> CameraDetail:
        now = self._clock.now_ms()
        return camera_status(camera, self._registry, self._seen.get(camera.id), now, self._policy.status)

    # --- what comes

    def remember(self, registry: Registry, seen: dict[str, Seen], flows: Sequence[Flow]) -> None:
        """Begin with what the history knows, until the log says better."""
        self._registry = registry
        self._seen = dict(seen)
        for flow in flows:
            self._note_flow(flow)

    def begin(self, topic: str, ends: dict[int, int]) -> dict[int, int]:
        """Where to read a kept topic from: the ring's share, and before it as much again for the ids."""
        starts = {p: max(0, end - 2 * self._policy.lookback) for p, end in ends.items()}
        for p, end in ends.items():
            self.next[topic, p] = starts[p]
            self.floor[topic, p] = max(0, end - self._policy.lookback)
        return starts

    def reached_end(self, topic: str, ends: dict[int, int]) -> None:
        """A kept topic is read to the `ends` it had at the start: what has not come by now is gone from the log."""
        if topic in self._awaited:
            for p, end in ends.items():
                if self.next[topic, p] < end:
                    self.next[topic, p] = self.floor[topic, p] = end
            self._caught_up_with(topic)

    def take(self, message: Message) -> None:
        """One record of a kept topic, in the order of its partition."""
        place = (message.topic, message.partition)
        if message.offset < self.next.setdefault(place, 0):
            return
        if message.offset > max(self.next[place], self.floor.setdefault(place, 0)):
            self._skip(message)
        self.next[place] = message.offset + 1
        self._meter.count("records", topic=message.topic)
        try:
            entry = entry_of(message)
        except Poison:
            return  # the history path says so
        self._note(entry.value, message)
        if not self._recent.is_new(entry.key, entry.revision):
            self._meter.count("repeats", topic=message.topic)
        elif message.offset >= self.floor[place]:
            self._show(entry)

    def take_tracks(self, message: Message) -> None:
        """One frame's live tracks. Raises Poison."""
        tracks = decode_tracks(message.headers, message.value)
        assert message.value is not None  # else it were poison
        self._note_seen(tracks.camera, tracks.captured_ms, self._heard(message), pictured=True)
        # No token: nobody who comes back wants old frames.
        self.tracks.put(
            TracksEntry(tracks.camera, Told(kind=TRACKS, data=message.value, token=None)), len(message.value)
        )
        self._meter.count("records", topic=TRACKS)
        self._wake()

    def take_registered(self, message: Message) -> None:
        """One record of the registry: the first record of a greater revision stands. Raises Poison."""
        self.at_registry[message.topic, message.partition] = message.offset + 1
        key = (message.key or b"").decode("utf-8", "replace")
        shelf = self._shelves[message.topic]
        if message.value is None:
            shelf.pop(key, None)
        else:
            value = decode_json(message.value, REGISTRY[message.topic], f"{message.topic}/{key}")
            if getattr(value, "id", key) != key:
                raise Poison(f"{message.topic}/{key} is about {value.id!r}")
            if key in shelf and shelf[key].revision >= value.revision:
                return
            shelf[key] = value
        self._publish_registry()

    def registry_complete(self, topic: str) -> None:
        """The end of a topic of the registry is reached."""
        if topic in self._awaited:
            self.at_registry.setdefault((topic, 0), 0)
            self._caught_up_with(topic)
            self._publish_registry()

    def close(self) -> None:
        """End every reader's messages."""
        if not self.over.done():
            self.over.set_result(None)
        self._wake()

    def _show(self, entry: Entry) -> None:
        told = msgspec.structs.replace(entry.told, token=self.token())
        assert isinstance(told.data, bytes)
        assert told.token is not None
        for gone in self.ring.put(entry._replace(told=told), len(told.data) + len(told.token)):
            self.floor[gone.topic, gone.partition] = gone.offset + 1
        if isinstance(entry.value, Crossing) and self.caught_up:
            age_ms = self._clock.now_ms() - entry.value.captured_ms
            self._meter.seconds("capture_to_live", max(0.0, age_ms / 1000))
        self._wake()

    def _skip(self, message: Message) -> None:
        """Retention took what was before this record. Nobody may think that nothing was there."""
        place = (message.topic, message.partition)
        if message.topic not in self._awaited:
            lost = message.offset - self.next[place]
            log.warning("%s/%d: %d records expired before they were told; readers begin anew", *place, lost)
            self._meter.count("lost", lost, topic=message.topic)
            self.ring.clear()
            self.floor.update(self.next)
        self.floor[place] = message.offset

    def _publish_registry(self) -> None:
        if self._awaited & set(REGISTRY):
            return
        known = self._registry = Registry(**{topic: dict(shelf) for topic, shelf in self._shelves.items()})
        self.version += 1
        for key in [k for k in self._flows if k[0] not in known.cameras and k[0] not in known.groups]:
            del self._flows[key]
        self._wake()

    def _caught_up_with(self, topic: str) -> None:
        self._awaited.discard(topic)
        if self.caught_up:
            log.info("the live feed has caught up")
        self._wake()

    def _note(self, value: Any, message: Message) -> None:
        if isinstance(value, HealthChange):
            self._note_health(value)
        elif isinstance(value, Flow):
            self._note_flow(value)
            if value.kind == "camera":
                captured_ms = value.start_ms + value.window_ms if value.coverage > 0 else None
                self._note_seen(value.place, captured_ms, self._heard(message), pictured=False)

    def _note_health(self, change: HealthChange) -> None:
        old = self._seen.get(change.camera, Seen())
        if old.health is None or (old.health.epoch, old.health.captured_ms) <= (change.epoch, change.captured_ms):
            self._seen[change.camera] = msgspec.structs.replace(old, health=change)
            self._seen_since.add(change.camera)

    def _note_flow(self, flow: Flow) -> None:
        key = (flow.place, flow.kind, flow.window_ms)
        known = self._flows.get(key)
        if known is None or (flow.start_ms, flow.revision) > (known.start_ms, known.revision):
            self._flows[key] = flow

    def _note_seen(self, camera: str, captured_ms: int | None, heard_ms: int, *, pictured: bool) -> None:
        old = self._seen.get(camera, Seen())
        self._seen[camera] = msgspec.structs.replace(
            old,
            captured_ms=_later(old.captured_ms, captured_ms),
            picture_ms=_later(old.picture_ms, heard_ms if pictured else None),
            heard_ms=_later(old.heard_ms, heard_ms),
        )
        self._seen_since.add(camera)

    def _heard(self, message: Message) -> int:
        """When a record reached us; while we catch up, when it was written."""
        now = self._clock.now_ms()
        return min(now, message.timestamp_ms) if message.topic in self._awaited else now

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def _later(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)
