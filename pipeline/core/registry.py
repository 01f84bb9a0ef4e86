"""What a file wants + what the registry has -> the records to write. Pure planning, nothing is written here.

Three rules hold everywhere: a revision is the one before it plus one; what has not changed is not written; and
what a camera has been given (its shard, its place among the frames partitions) is never moved by itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.core.model import Camera, CameraId, Group, GroupId, Placement, Scene
from pipeline.errors import Fatal

UNKNOWN_FPS = 25.0
"""What a camera weighs whose rate nobody limited: most send 25 pictures a second."""


class Widths(msgspec.Struct, frozen=True, kw_only=True):
    """How many partitions there are to spread cameras over."""

    frames: int
    shards: int
    capture_shards: int


class WantedCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera as the file describes it: a `Camera` without what the registry adds."""

    id: CameraId
    source: str
    fps: float | None = None
    width: int = 640
    loop: bool = False
    pace: str = "live"
    transport: str = "tcp"
    start: str | None = None
    time_zone: str = "UTC"
    latitude: float | None = None
    longitude: float | None = None


class WantedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group as the file describes it."""

    id: GroupId
    members: list[CameraId]
    name: str = ""
    kind: str = "site"


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is registered, by id."""

    cameras: dict[CameraId, Camera] = {}
    groups: dict[GroupId, Group] = {}
    scenes: dict[CameraId, Scene] = {}
    placements: dict[CameraId, Placement] = {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One record to write."""

    topic: str  # cameras, groups, scenes or placement
    key: str
    value: Camera | Group | Scene | Placement | None  # None: a tombstone
    before: int | None  # the revision it replaces; None: there is nothing yet

    @property
    def verb(self) -> str:
        """What the change does to its thing: added, changed or removed."""
        if self.value is None:
            return "removed"
        return "added" if self.before is None else "changed"


def plan_cameras(wanted: Iterable[WantedCamera], registry: Registry, widths: Widths) -> list[Change]:
    """Add and change cameras; those the file does not name stay as they are.

    A new camera gets the shard and the capture shard that fewest cameras have (the lowest of equals), so that
    counts per shard differ by one at most where all came this way. A camera without a placement gets the frames
    partition with the least pictures a second, the fastest cameras first.

    Returns:
        Placements first: a reader that knows a camera can know where it writes.

    Raises:
        Fatal: a registered camera lies outside the widths: they are not those the topics were made with.

    Source:
        Longest processing time first: R. L. Graham, Bounds on multiprocessing timing anomalies, 1969; the
        busiest partition gets at most 4/3 of the best possible (where nothing was placed before).
    """
    wanted = list(wanted)
    _refuse_narrower(registry, widths)
    changes = []
    shards = Counter(camera.shard for camera in registry.cameras.values())
    capture_shards = Counter(camera.capture_shard for camera in registry.cameras.values())
    for wish in wanted:
        known = registry.cameras.get(wish.id)
        if known is None:
            shard, capture_shard = _emptiest(shards, widths.shards), _emptiest(capture_shards, widths.capture_shards)
            shards[shard] += 1
            capture_shards[capture_shard] += 1
        else:
            shard, capture_shard = known.shard, known.capture_shard
        camera = Camera(
            **msgspec.structs.asdict(wish),
            shard=shard,
            capture_shard=capture_shard,
            revision=known.revision if known else 1,
        )
        if known is None:
            changes.append(Change(topic="cameras", key=wish.id, value=camera, before=None))
        elif camera != known:
            camera = msgspec.structs.replace(camera, revision=known.revision + 1)
            changes.append(Change(topic="cameras", key=wish.id, value=camera, before=known.revision))
    return _plan_placements(wanted, registry, widths.frames) + changes


def plan_groups(wanted: Iterable[WantedGroup], registry: Registry) -> list[Change]:
    """Add and change groups; those the file does not name stay as they are."""
    changes = []
    for wish in wanted:
        known = registry.groups.get(wish.id)
        before = known.revision if known else None
        group = Group(**msgspec.structs.asdict(wish), revision=before or 1)
        if known is not None and group != known:
            group = msgspec.structs.replace(group, revision=known.revision + 1)
        if group != known:
            changes.append(Change(topic="groups", key=wish.id, value=group, before=before))
    return changes


def plan_scenes(wanted: Mapping[CameraId, Scene], registry: Registry) -> list[Change]:
    """Add and change scenes; those the file does not name stay as they are."""
    changes = []
    for camera, wish in wanted.items():
        known = registry.scenes.get(camera)
        before = known.revision if known else None
        scene = msgspec.structs.replace(wish, revision=before or 1)
        if known is not None and scene != known:
            scene = msgspec.structs.replace(scene, revision=known.revision + 1)
        if scene != known:
            changes.append(Change(topic="scenes", key=camera, value=scene, before=before))
    return changes


def plan_removal(cameras: Sequence[CameraId], registry: Registry) -> list[Change]:
    """Remove cameras with their scenes and placements, and take them out of their groups.

    A group that is left without members is removed too: it could never report anything.

    Raises:
        Fatal: naming every id that is no camera; then nothing is planned.
    """
    gone = list(dict.fromkeys(cameras))
    if unknown := [camera for camera in gone if camera not in registry.cameras]:
        known = ", ".join(sorted(registry.cameras)) or "none"
        raise Fatal(f"no such camera: {', '.join(unknown)}; registered are: {known}; nothing was removed")
    changes = []
    for camera in gone:
        was = registry.cameras[camera]
        changes.append(Change(topic="cameras", key=camera, value=None, before=was.revision))
        if scene := registry.scenes.get(camera):
            changes.append(Change(topic="scenes", key=camera, value=None, before=scene.revision))
        if placement := registry.placements.get(camera):
            changes.append(Change(topic="placement", key=camera, value=None, before=placement.revision))
    for group in registry.groups.values():
        members = [member for member in group.members if member not in gone]
        if members == group.members:
            continue
        left = msgspec.structs.replace(group, members=members, revision=group.revision + 1) if members else None
        changes.append(Change(topic="groups", key=group.id, value=left, before=group.revision))
    return changes


def _plan_placements(wanted: Sequence[WantedCamera], registry: Registry, partitions: int) -> list[Change]:
    rates = {camera.id: camera.fps for camera in registry.cameras.values()} | {wish.id: wish.fps for wish in wanted}
    load: dict[int, float] = dict.fromkeys(range(partitions), 0.0)
    for placement in registry.placements.values():
        load[placement.partition] += rates.get(placement.camera) or UNKNOWN_FPS
    homeless = [wish for wish in wanted if wish.id not in registry.placements]
    changes = []
    for wish in sorted(homeless, key=lambda wish: (-(wish.fps or UNKNOWN_FPS), wish.id)):
        partition = min(load, key=lambda p: (load[p], p))
        load[partition] += wish.fps or UNKNOWN_FPS
        placement = Placement(camera=wish.id, partition=partition, revision=1)
        changes.append(Change(topic="placement", key=wish.id, value=placement, before=None))
    return changes


def _emptiest(counts: Counter[int], width: int) -> int:
    return min(range(width), key=lambda shard: (counts[shard], shard))


def _refuse_narrower(registry: Registry, widths: Widths) -> None:
    """Fatal where something registered lies beyond the widths we are told."""
    cameras = registry.cameras.values()
    for name, width, used in (
        ("shards", widths.shards, {c.id: c.shard for c in cameras}),
        ("capture_shards", widths.capture_shards, {c.id: c.capture_shard for c in cameras}),
        ("frames", widths.frames, {p.camera: p.partition for p in registry.placements.values()}),
    ):
        if outside := sorted(camera for camera, partition in used.items() if partition >= width):
            raise Fatal(
                f"kafka.sizes.{name} is {width}, but camera {outside[0]} already lives on number {used[outside[0]]}:"
                f" write the size that the topics were made with"
            )
