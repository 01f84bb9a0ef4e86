"""What a live reader is told: resume tokens, repeats, the ring of recent messages, the state of a camera.

Pure. The stage `serve` carries it; a reader's place in the feed is nothing but a vector of log offsets, so any
replica of serve, also one started again, can go on where another stopped.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from pipeline.core.model import Camera, CameraId, Flow, Group, GroupId, HealthChange, HealthState, Scene
from pipeline.core.registry import Registry
from pipeline.errors import Poison

# --- resume tokens ------------------------------------------------------------------------------

Place = tuple[str, int]
"""A partition of a topic."""

Vector = dict[Place, int]
"""The next offset to read of each partition."""

LONGEST_TOKEN = 64 * 1024
_VERSION = "1"


def write_token(log: str, vector: Mapping[Place, int]) -> str:
    """A place in the feed as opaque text, safe in a URL and a header. Equal places give equal texts."""
    topics: dict[str, list[str]] = {}
    for (topic, partition), offset in sorted(vector.items()):
        topics.setdefault(topic, []).append(f"{partition}={offset}")
    text = ";".join([_VERSION, log, *(f"{topic}:{','.join(parts)}" for topic, parts in topics.items())])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def read_token(token: str) -> tuple[str, Vector]:
    """(log id, place) of a token.

    Raises:
        Poison: the text is no token of ours.
    """
    wrong = "the token is not one this service gave out: leave it out to begin with a snapshot"
    if len(token) > LONGEST_TOKEN:
        raise Poison(wrong)
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, log, *topics = raw.decode().split(";")
        if version != _VERSION:
            raise Poison(wrong)
        vector: Vector = {}
        for text in topics:
            topic, _, parts = text.partition(":")
            for part in parts.split(","):
                partition, _, offset = part.partition("=")
                vector[topic, _number(partition)] = _number(offset)
    except (ValueError, binascii.Error) as exc:  # UnicodeError is a ValueError
        raise Poison(wrong) from exc
    return log, vector


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 - digits of 2**63
        raise ValueError(text)
    return int(text)


# --- repeats ------------------------------------------------------------------------------------


class Recent:
    """Which (key, revision) have passed lately; the least recently passed are forgotten first.

    A process that was killed repeats the last records it had written. Their ids are equal, so they can be told.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._revisions: OrderedDict[Hashable, int] = OrderedDict()

    def is_new(self, key: Hashable, revision: int) -> bool:
        """Whether this revision is greater than every one of the key that passed; it has passed now."""
        known = self._revisions.get(key)
        if known is not None and revision <= known:
            self._revisions.move_to_end(key)
            return False
        self._revisions[key] = revision
        self._revisions.move_to_end(key)
        if len(self._revisions) > self._most:
            self._revisions.popitem(last=False)
        return True

    def __len__(self) -> int:
        return len(self._revisions)


# --- recent messages ----------------------------------------------------------------------------

T = TypeVar("T")


class Ring(Generic[T]):
    """The latest items, bounded in number and bytes; each has a position that never changes.

    A reader holds nothing but the position of its next item: however slow it is, it costs no memory. Items of
    positions [first, end) are there; a reader behind `first` has missed some.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._items: dict[int, tuple[T, int]] = {}
        self._bytes = 0
        self.first = 0
        self.end = 0

    def put(self, item: T, size: int) -> list[T]:
        """Append an item of so many bytes. Returns those that had to go for it, oldest first."""
        self._items[self.end] = (item, size)
        self.end += 1
        self._bytes += size
        gone: list[T] = []
        while self.end - self.first > self._most or (self._bytes > self._most_bytes and self.end - self.first > 1):
            old, old_size = self._items.pop(self.first)
            self.first += 1
            self._bytes -= old_size
            gone.append(old)
        return gone

    def clear(self) -> None:
        """Forget everything and leave a position out, so that also a reader at the end sees that it missed some."""
        self._items.clear()
        self._bytes = 0
        self.end += 1
        self.first = self.end

    def __getitem__(self, position: int) -> T:
        return self._items[position][0]

    def __len__(self) -> int:
        return self.end - self.first


# --- the state of a camera ----------------------------------------------------------------------


class FeedState(StrEnum):
    """What serve knows of a camera."""

    LIVE = "live"  # its pictures are analysed
    SILENT = "silent"  # capture answers for it, but no picture comes
    UNKNOWN = "unknown"  # nothing at all comes: neither pictures nor capture's word


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """When something of a camera came last."""

    captured_ms: int | None = None  # capture time of the last picture that was analysed
    picture_ms: int | None = None  # when word of that picture reached us
    heard_ms: int | None = None  # when anything of the camera reached us, also an empty window
    health: HealthChange | None = None  # the last one


class StatusPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a silence means something."""

    silent_after_ms: int = 10_000
    unknown_after_ms: int = 90_000  # a silent camera's windows of 30 s still come, late by their grace


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A camera as the API shows it."""

    id: CameraId
    source: str
    revision: int
    fps: float | None
    time_zone: str
    latitude: float | None
    longitude: float | None
    groups: list[GroupId]
    lines: list[str]
    zones: list[str]
    state: FeedState
    last_captured_ms: int | None
    last_heard_ms: int | None
    unknown_since_ms: int | None  # None while the state is known, and when nothing was ever heard
    health: HealthState | None  # of its pictures; None: not known
    health_since_ms: int | None  # capture time
    view: int | None  # which of its views it shows; None: not known


class CameraDetail(CameraStatus, frozen=True, kw_only=True):
    """A camera with its scene."""

    scene: Scene | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a reader needs to begin: what follows are changes of this."""

    at_ms: int
    cameras: list[CameraStatus]
    groups: list[Group]
    flow: list[Flow]  # the latest window of each place and length


def state_of(seen: Seen | None, now_ms: int, policy: StatusPolicy) -> tuple[FeedState, int | None]:
    """(state, unknown since) of a camera that was seen so. Unknown since None: nothing was ever heard of it."""
    if seen is None or seen.heard_ms is None:
        return FeedState.UNKNOWN, None
    if now_ms - seen.heard_ms > policy.unknown_after_ms:
        return FeedState.UNKNOWN, seen.heard_ms
    if seen.picture_ms is None or now_ms - seen.picture_ms > policy.silent_after_ms:
        return FeedState.SILENT, None
    return FeedState.LIVE, None


def camera_status(
    camera: Camera, registry: Registry, seen: Seen | None, now_ms: int, policy: StatusPolicy
) -> CameraDetail:
    """A camera, its scene and its state in one value."""
    state, since = state_of(seen, now_ms, policy)
    health = seen.health if seen else None
    scene = registry.scenes.get(camera.id)
    return CameraDetail(
        id=camera.id,
        source=camera.source,
        revision=camera.revision,
        fps=camera.fps,
        time_zone=camera.time_zone,
        latitude=camera.latitude,
        longitude=camera.longitude,
        groups=sorted(g.id for g in registry.groups.values() if camera.id in g.members),
        lines=[line.name for line in scene.lines] if scene else [],
        zones=[zone.name for zone in scene.zones] if scene else [],
        state=state,
        last_captured_ms=seen.captured_ms if seen else None,
        last_heard_ms=seen.heard_ms if seen else None,
        unknown_since_ms=since,
        health=health.after if health else None,
        health_since_ms=health.since_ms if health else None,
        view=health.view if health else None,
        scene=scene,
    )


def without_scene(camera: CameraDetail) -> CameraStatus:
    """The camera as it stands in lists."""
    return CameraStatus(**{name: getattr(camera, name) for name in CameraStatus.__struct_fields__})


__all__ = [
    "CameraDetail",
    "CameraStatus",
    "FeedState",
    "Place",
    "Recent",
    "Ring",
    "Seen",
    "Snapshot",
    "StatusPolicy",
    "Vector",
    "camera_status",
    "read_token",
    "state_of",
    "without_scene",
    "write_token",
]
