"""Bytes <-> values. Versioned: a reader of version n reads n-1. Bad bytes and unknown versions raise Poison.

On `frames` and `detections` the identity of a record travels in short ASCII headers, so that a reader can
skip, route or count a record without touching its value; the value of a frame is the JPEG itself, every
other value is JSON. Events are CloudEvents 1.0 in binary mode (attributes in `ce_` headers, JSON value).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from pipeline.core.model import (
    Body,
    Boxes,
    Closed,
    Detections,
    Event,
    Flow,
    Frame,
    Gap,
    Header,
    Health,
    LiveTracks,
    Opened,
    Record,
    Scene,
    Size,
    Tick,
)
from pipeline.core.rollup import Member
from pipeline.errors import Fatal, Poison

VERSION = 1
READS = (1,)  # the versions this reader understands

Headers = Sequence[tuple[str, bytes]]
T = TypeVar("T")

_BODIES: dict[str, type[Any]] = {
    "opened": Opened,
    "scene": Scene,
    "tick": Tick,
    "gap": Gap,
    "health": Health,
    "closed": Closed,
    "detections": Detections,
    "boxes": Boxes,
}
_KINDS = {kind: name for name, kind in _BODIES.items()} | {Frame: "frame"}
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in _BODIES.items()}
_ENCODER = msgspec.json.Encoder()
_KNOWN = tuple(str(version) for version in READS)
_OF_NOW = ("v", str(VERSION).encode())


class Encoded(msgspec.Struct, frozen=True):
    """A record as Kafka carries it."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode_record(record: Record) -> Encoded:
    """A record of a camera's log (topics `frames` and `detections`)."""
    h, body = record.header, record.body
    headers = [
        ("v", str(VERSION)),
        ("log", h.log),
        ("kind", _KINDS[type(body)]),
        ("camera", h.camera),
        ("shard", str(h.shard)),
        ("epoch", str(h.epoch)),
        ("seq", str(h.seq)),
        ("captured_ms", str(h.captured_ms)),
        ("clock", h.clock.value),
    ]
    if h.size is not None:
        headers.append(("size", str(h.size)))
    if h.source_size is not None:
        headers.append(("source_size", str(h.source_size)))
    if h.traceparent is not None:
        headers.append(("traceparent", h.traceparent))
    value = body.jpeg if isinstance(body, Frame) else _ENCODER.encode(body)
    return Encoded(h.camera.encode(), value, [(k, v.encode("ascii")) for k, v in headers])


def decode_header(headers: Headers) -> tuple[str, Header]:
    """Read the identity of a record without its value.

    Returns:
        (kind, header).

    Raises:
        Poison: if a header is missing, repeated, of a version not known, or not what it should be.
    """
    try:
        got = {k: _bytes(v).decode("ascii") for k, v in headers}
    except UnicodeDecodeError as exc:
        raise Poison("a header of the record is not ASCII") from exc
    if len(got) != len(headers):
        raise Poison("a header of the record is there twice")
    _check_version(got.get("v"), "the record")
    try:
        header = msgspec.convert(
            {
                "log": got["log"],
                "camera": got["camera"],
                "shard": int(got["shard"]),
                "epoch": int(got["epoch"]),
                "seq": int(got["seq"]),
                "captured_ms": int(got["captured_ms"]),
                "clock": got["clock"],
                "size": Size.parse(got["size"]) if "size" in got else None,
                "source_size": Size.parse(got["source_size"]) if "source_size" in got else None,
                "traceparent": got.get("traceparent"),
            },
            Header,
        )
        return got["kind"], header
    except KeyError as exc:
        raise Poison(f"the record lacks the header {exc}") from exc
    except (ValueError, msgspec.ValidationError) as exc:
        raise Poison(f"a header of the record is wrong: {exc}") from exc


def decode_record(headers: Headers, value: bytes | None) -> Record:
    """Read a record of a camera's log.

    Raises:
        Poison: if headers or value cannot be understood.
    """
    kind, header = decode_header(headers)
    if value is None:
        raise Poison("the record has no value")
    if kind == "frame":
        return Record(header, Frame(bytes(value)))
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise Poison(f"the record is of kind {kind!r}, known are frame, {', '.join(_BODIES)}")
    try:
        body: Body = decoder.decode(value)
    except msgspec.MsgspecError as exc:
        raise Poison(f"the value of a {kind} record cannot be read: {exc}") from exc
    return Record(header, body)


def encode_event(event: Event) -> Encoded:
    """A traffic event as CloudEvents 1.0, binary mode."""
    headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", event.id),
        ("ce_type", f"gantry.{_type_of(event)}.v{VERSION}"),
        ("ce_source", f"/cameras/{event.camera}"),
        ("ce_time", iso(event.captured_ms)),
        ("ce_subject", event.subject),
        ("ce_revision", str(event.revision)),
        ("content-type", "application/json"),
    ]
    return Encoded(event.camera.encode(), _ENCODER.encode(event), [(k, v.encode()) for k, v in headers])


def decode_event(headers: Headers, value: bytes | None) -> Event:
    """Read an event. Raises Poison, also for one whose `ce_type` is of a version not known."""
    kind = _header(headers, "ce_type")
    if kind is None:
        raise Poison("the event lacks the header 'ce_type'")
    name, _, version = kind.rpartition(".v")
    _check_version(version if name else None, f"the event, by its ce_type {kind!r},")
    return decode_json(value, Event, "an event")


def encode_flow(flow: Flow) -> Encoded:
    """One window of one place."""
    headers = [("v", str(VERSION)), ("kind", flow.kind), ("window_ms", str(flow.window_ms))]
    return Encoded(flow.place.encode(), _ENCODER.encode(flow), [(k, v.encode("ascii")) for k, v in headers])


def decode_flow(headers: Headers, value: bytes | None) -> Flow:
    """Read a window. Raises Poison, also for one of a version not known."""
    _check_version(_header(headers, "v"), "the flow record")
    return decode_json(value, Flow, "a flow record")


def encode_tracks(tracks: LiveTracks) -> Encoded:
    """All tracks of one frame."""
    return Encoded(tracks.camera.encode(), _ENCODER.encode(tracks), [_OF_NOW])


def decode_tracks(headers: Headers, value: bytes | None) -> LiveTracks:
    """Read the tracks of one frame. Raises Poison, also for those of a version not known."""
    _check_version(_header(headers, "v"), "the tracks record")
    return decode_json(value, LiveTracks, "a tracks record")


def encode_member(member: Member) -> Encoded:
    """A member's window on its way to its group."""
    return Encoded(member.group.encode(), _ENCODER.encode(member), [_OF_NOW])


def decode_member(headers: Headers, value: bytes | None) -> Member:
    """Read a member's window. Raises Poison, also for one of a version not known."""
    _check_version(_header(headers, "v"), "the member's window")
    return decode_json(value, Member, "a member's window")


def decode_state(value: bytes | None, kind: type[T], what: str) -> T:
    """Read a stage's memory, which says its version in its field `v`.

    Raises:
        Fatal: if its version is not known: it is worth keeping, and to go on without it would count wrongly.
        Poison: if it cannot be read.
    """
    marked: _Marked = decode_json(value, _Marked, what)
    if marked.v not in READS:
        raise Fatal(
            f"{what} is of version {marked.v}, this gantry knows {', '.join(_KNOWN)}: a newer one wrote it, upgrade this one"
        )
    return decode_json(value, kind, what)


def encode_json(value: Any) -> bytes:
    """Any of our structs as JSON."""
    return _ENCODER.encode(value)


def decode_json(value: bytes | None, kind: type[T] | Any, what: str) -> T:
    """Read JSON into one of our structs. Raises Poison, naming `what`."""
    if value is None:
        raise Poison(f"{what} has no value")
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise Poison(f"{what} cannot be read: {exc}") from exc


def header_text(headers: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Headers for a dead letter: text, whatever they were."""
    return {k: _bytes(v).decode("utf-8", "replace")[:200] for k, v in headers}


def iso(ms: int) -> str:
    """UTC milliseconds as RFC 3339: 2026-01-01T00:00:00.000Z."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Marked(msgspec.Struct):
    v: int


def _check_version(version: str | None, what: str) -> None:
    if version not in _KNOWN:
        raise Poison(f"{what} is of version {version!r}; this reader knows {', '.join(_KNOWN)}: upgrade it first")


def _header(headers: Headers, name: str) -> str | None:
    found = [_bytes(v) for k, v in headers if k == name]
    if len(found) > 1:
        raise Poison(f"the header {name!r} of the record is there twice")
    return found[0].decode("ascii", "backslashreplace") if found else None


def _bytes(value: bytes | None) -> bytes:
    """Kafka lets a header have no value at all."""
    return bytes(value or b"")


def _type_of(event: Event) -> str:
    return str(type(event).__struct_config__.tag)


__all__ = [
    "READS",
    "VERSION",
    "Encoded",
    "decode_event",
    "decode_flow",
    "decode_header",
    "decode_json",
    "decode_member",
    "decode_record",
    "decode_state",
    "decode_tracks",
    "encode_event",
    "encode_flow",
    "encode_json",
    "encode_member",
    "encode_record",
    "encode_tracks",
    "header_text",
    "iso",
]
