"""What serve reads, and how much of it it keeps in memory."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import msgspec

from pipeline.core.feed import StatusPolicy
from pipeline.core.model import Camera, Event, Flow, Group, Scene
from pipeline.ports import Message, Told
from pipeline.wire.codec import decode_event, decode_flow

KEPT = ("events", "flow")
"""Topics that the history keeps, and that readers get in order from where they were."""

REGISTRY: dict[str, Any] = {"cameras": Camera, "groups": Group, "scenes": Scene}
TRACKS = "tracks"


class ServePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is kept in memory, and how patient we are."""

    clients: int = 200  # live readers at once
    ring: int = 50_000  # recent messages; a reader further behind begins anew
    ring_bytes: int = 64 * 1024 * 1024
    tracks_ring: int = 2_000  # a reader further behind skips frames
    lookback: int = 2_000  # records of each partition read back at start for the ring, and as many before for ids
    ids: int = 200_000  # ids remembered to tell repeats
    resumes: int = 8  # readers that are told from the log at once
    heartbeat_s: float = 15.0
    batch: int = 500  # records of one transaction
    flush_ms: int = 200  # how long the first of them waits for others
    housekeeping_s: float = 10.0
    retention_days: int | None = None  # None: the history is kept for ever
    retry_s: float = 0.5  # the first pause after a failure; doubles
    longest_retry_s: float = 30.0
    look_s: float = 10.0  # a camera nobody asked a picture of for so long is not read any more
    picture_wait_s: float = 3.0  # for a picture to come; the first one needs a connection
    picture_lookback: int = 64  # records of a partition read back, so that a picture is there at once
    pictures_bytes: int = 64 * 1024 * 1024  # pictures of all cameras that are looked at
    status: StatusPolicy = StatusPolicy()


class Entry(NamedTuple):
    """One record of events or flow, as readers get it."""

    topic: str
    partition: int
    offset: int
    camera: str | None  # None: of a group
    key: Hashable
    revision: int
    value: Event | Flow
    told: Told


def entry_of(message: Message, token: str | None = None) -> Entry:
    """Read a record of a kept topic. Raises Poison."""
    value: Event | Flow
    key: Hashable
    camera: str | None
    if message.topic == "events":
        value = decode_event(message.headers, message.value)
        kind, key, camera = "event", ("event", value.id), value.camera
    else:
        value = decode_flow(message.headers, message.value)
        kind, key = "flow", ("flow", value.place, value.kind, value.window_ms, value.start_ms)
        camera = value.place if value.kind == "camera" else None
    assert message.value is not None  # else it were poison
    told = Told(kind=kind, data=message.value, token=token)
    return Entry(message.topic, message.partition, message.offset, camera, key, value.revision, value, told)
