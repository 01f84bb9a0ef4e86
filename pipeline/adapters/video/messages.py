"""What a child that makes pictures and its parent say to each other: msgpack, each message after its length (4 bytes)."""

import os
from typing import BinaryIO, TypeVar

import msgspec

from pipeline.core.model import Health, Size

LENGTH_BYTES = 4

Asked = TypeVar("Asked", bound=msgspec.Struct)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to do."""

    path: str
    fps: float | None = None
    width: int = 640
    quality: int = 85
    loop: bool = False
    threads: int = 1
    probe: bool = False  # only say what is in the file


class Info(msgspec.Struct, frozen=True, kw_only=True, tag="info"):
    """The file could be opened."""

    size: Size
    fps: float | None
    declared_frames: int | None
    duration_s: float | None
    comment: str = ""  # its beginning, as whoever made the file left it


class Shot(msgspec.Struct, frozen=True, kw_only=True, tag="shot"):
    """One picture."""

    jpeg: bytes
    media_ms: int  # from the first picture of the first pass; rises for ever
    size: Size
    source_size: Size
    restarts: bool = False
    fresh: bool = False
    health: Health | None = None


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """Still decoding, though no picture was wanted for a while."""


class PassEnded(msgspec.Struct, frozen=True, kw_only=True, tag="pass_ended"):
    """The end of the file was reached, or what can be read of it."""

    decoded: int
    declared: int | None
    broken: int  # packets that did not decode
    cut: bool  # reading stopped before the end


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Nothing can be had from this file."""

    why: str


Message = Info | Shot | Alive | PassEnded | Failed
"""What the child says."""


def packed(message: msgspec.Struct) -> bytes:
    """A message with its length before it."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def asked(stdin: BinaryIO, kind: type[Asked]) -> Asked:
    """What the parent asks for: the first thing it says."""
    length = int.from_bytes(stdin.read(LENGTH_BYTES), "big")
    return msgspec.msgpack.decode(stdin.read(length), type=kind)


def write(out: BinaryIO, message: Message) -> None:
    """Say it whole, however little the pipe takes at once."""
    data = memoryview(packed(message))
    while data:
        data = data[out.write(data) :]


def end_with_parent() -> None:
    """To be run in a thread of a child: the parent keeps our stdin open for as long as it lives, on every system."""
    while os.read(0, 1):
        pass
    os._exit(0)
