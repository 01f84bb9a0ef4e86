"""The topics: their names, what they keep, and how many partitions they have.

This file is the contract that `gantry topics apply` creates and checks. Keys are camera or group ids;
the partition is always chosen by us (placement, shard, or 0), never by a hash, but where `by_key` is set.
"""

import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MIB = 1024 * 1024

MAX_RECORD_BYTES = 4 * MIB
"""The largest record on any topic; the producer refuses a larger one before the broker must."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What one topic must be."""

    name: str  # without the prefix
    writer: str  # the one role that writes it
    partitions: int
    compacted: bool = False
    retention_ms: int | None = None  # None: compacted topics keep the latest of each key
    retention_bytes: int | None = None  # per partition
    segment_ms: int | None = None
    max_record_bytes: int = MIB

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings in Kafka's words, each of them checked by `topics apply`."""
        out = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "max.message.bytes": str(self.max_record_bytes),
        }
        out["compression.type"] = "producer"
        out["message.timestamp.type"] = "CreateTime"
        if self.compacted:
            out["min.cleanable.dirty.ratio"] = "0.1"
            out["segment.ms"] = str(self.segment_ms or 10 * MINUTE_MS)
        else:
            out["retention.ms"] = str(self.retention_ms)
            out["retention.bytes"] = str(self.retention_bytes if self.retention_bytes is not None else -1)
            if self.segment_ms is not None:
                out["segment.ms"] = str(self.segment_ms)
        return out


class Sizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How wide the partitioned topics are. Fixed when the topics are made: growing is a drain-and-switch."""

    frames: Annotated[int, Meta(ge=1, le=10_000)] = 24
    shards: Annotated[int, Meta(ge=1, le=10_000)] = 12  # of detections, tracks, track-state, events and flow
    capture_shards: Annotated[int, Meta(ge=1, le=10_000)] = 12
    frames_retention_s: Annotated[int, Meta(ge=60)] = 180  # longer than keyframes are apart, by far
    frames_bytes_per_partition: Annotated[int, Meta(ge=MAX_RECORD_BYTES)] = 512 * MIB


class Topics:
    """Every topic name of one installation.

    Args:
        prefix: put before each name, "traffic." by default.
        sizes: partitions and retention.
    """

    def __init__(self, prefix: str = "traffic.", sizes: Sizes | None = None) -> None:
        self.prefix = prefix
        self.sizes = s = sizes or Sizes()
        self.specs: dict[str, Topic] = {
            t.name: t
            for t in (
                Topic(name="cameras", writer="cameras apply", partitions=1, compacted=True),
                Topic(name="groups", writer="groups apply", partitions=1, compacted=True),
                Topic(name="scenes", writer="scenes apply", partitions=1, compacted=True),
                Topic(name="placement", writer="cameras apply", partitions=1, compacted=True),
                Topic(name="limits", writer="scale", partitions=1, compacted=True),
                Topic(name="epochs", writer="capture", partitions=1, compacted=True),
                Topic(name="capture-shards", writer="nobody", partitions=s.capture_shards, retention_ms=HOUR_MS),
                Topic(
                    name="frames",
                    writer="capture",
                    partitions=s.frames,
                    retention_ms=s.frames_retention_s * 1000,
                    retention_bytes=s.frames_bytes_per_partition,
                    segment_ms=MINUTE_MS,
                    max_record_bytes=MAX_RECORD_BYTES,
                ),
                Topic(name="detections", writer="detect", partitions=s.shards, retention_ms=6 * HOUR_MS),
                Topic(
                    name="tracks", writer="track", partitions=s.shards, retention_ms=5 * MINUTE_MS, segment_ms=MINUTE_MS
                ),
                Topic(
                    name="track-state",
                    writer="track",
                    partitions=s.shards,
                    compacted=True,
                    max_record_bytes=MAX_RECORD_BYTES,
                ),
                Topic(
                    name="workers",
                    writer="every worker",
                    partitions=1,
                    retention_ms=10 * MINUTE_MS,
                    segment_ms=MINUTE_MS,
                ),
                Topic(name="events", writer="track, aggregate", partitions=s.shards, retention_ms=30 * DAY_MS),
                Topic(name="flow", writer="track, aggregate", partitions=s.shards, retention_ms=30 * DAY_MS),
                Topic(name="aggregate-members", writer="aggregate", partitions=s.shards, retention_ms=DAY_MS),
                Topic(
                    name="aggregate-cameras-changelog",
                    writer="aggregate",
                    partitions=s.shards,
                    compacted=True,
                    max_record_bytes=MAX_RECORD_BYTES,
                ),
                Topic(
                    name="aggregate-groups-changelog",
                    writer="aggregate",
                    partitions=s.shards,
                    compacted=True,
                    max_record_bytes=MAX_RECORD_BYTES,
                ),
                Topic(name="decisions", writer="scale", partitions=1, retention_ms=90 * DAY_MS),
                Topic(name="plan", writer="scale", partitions=1, compacted=True),
                Topic(name="dead-letters", writer="any", partitions=1, retention_ms=7 * DAY_MS),
            )
        }

    def name(self, topic: str) -> str:
        """The full name of a topic: `frames` -> `traffic.frames`. Raises KeyError on an unknown topic."""
        return self.prefix + self.specs[topic].name


def steady_partition(key: str, partitions: int) -> int:
    """A partition for a key that every process and every version computes alike (CRC-32 of its UTF-8)."""
    return zlib.crc32(key.encode()) % partitions
