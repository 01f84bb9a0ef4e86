"""The registry's keeper: reads what is registered, writes what changed, refuses what is stale.

Every topic of the registry is one compacted partition; a key's latest record is the truth. There is no lock: two
people may write at once. So a record is looked at again after it was written. Readers take the FIRST record of a
revision (`read_registry` does, capture must too); whoever came second is told so, and puts the winner's record
back behind its own, so that compaction, which keeps the last record, keeps the winner's.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from pipeline.core.model import Camera, Group, Placement, Scene
from pipeline.core.registry import Change, Registry, Widths
from pipeline.errors import Fatal, Poison
from pipeline.ports import LogReader, Message, Writer
from pipeline.wire.codec import decode_json, encode_json

log = logging.getLogger("gantry.registry")

KINDS: dict[str, Any] = {"cameras": Camera, "groups": Group, "scenes": Scene, "placement": Placement}
"""What the records of each topic of the registry are."""

_ORDER = ("placement", "cameras", "scenes", "groups")


class _Standing(NamedTuple):
    revision: int | None  # None: removed
    message: Message


async def read_registry(logs: LogReader) -> Registry:
    """What is registered now.

    A record that cannot be read is skipped with a warning: one bad record must not stop a city.

    Raises:
        Retry: no broker answers.
        Fatal: a topic is missing.
    """
    latest = {topic: _latest(topic, await logs.read_all(topic, 0)) for topic in KINDS}
    return Registry(
        cameras=latest["cameras"], groups=latest["groups"], scenes=latest["scenes"], placements=latest["placement"]
    )


async def apply(plan: Callable[[Registry], list[Change]], logs: LogReader, writer: Writer) -> list[Change]:
    """Read what is registered, plan, write; the changes that were made. Raises as `write_changes`, and as the plan."""
    changes = plan(await read_registry(logs))
    await write_changes(changes, logs, writer)
    return changes


async def check_widths(logs: LogReader, widths: Widths) -> None:
    """Make sure that cameras are spread over the partitions that there are.

    Raises:
        Fatal: a topic has another number of partitions than the settings say, or it is missing.
        Retry: no broker answers.
    """
    for topic, name, wanted in (
        ("frames", "frames", widths.frames),
        ("detections", "shards", widths.shards),
        ("capture-shards", "capture_shards", widths.capture_shards),
    ):
        there = len(await logs.ends(topic))
        if there != wanted:
            raise Fatal(
                f"topic {topic} has {there} partitions, but the settings say kafka.sizes.{name}: {wanted};"
                f" write kafka.sizes.{name}: {there}"
            )


async def write_changes(changes: Sequence[Change], logs: LogReader, writer: Writer) -> None:
    """Write planned changes and make sure that nobody else wrote the same revision in between.

    Placements are written before cameras, cameras before scenes and groups; each topic is acknowledged before the
    next one is begun. Without changes nothing is read or written.

    Raises:
        Fatal: someone else changed one of these things after the plan was made. Theirs stands; all changes that
            did not collide are written.
        Retry: no broker answers; what was written so far stands, and planning anew writes the rest.
    """
    stale: list[str] = []
    for topic in sorted({change.topic for change in changes}, key=_ORDER.index):
        stale += await _write_topic(topic, [change for change in changes if change.topic == topic], logs, writer)
    if stale:
        raise Fatal(
            f"someone else changed this at the same time: {', '.join(stale)}; theirs stands, yours is refused."
            " Look at it and apply again"
        )


async def _write_topic(topic: str, changes: Sequence[Change], logs: LogReader, writer: Writer) -> list[str]:
    """Write the changes of one topic; names those that lost against another writer."""
    before = await logs.read_all(topic, 0)
    known = _standing(topic, before)
    stale: list[str] = []
    written: list[tuple[Change, Awaitable[int]]] = []
    for change in changes:
        state = known.get(change.key)
        if (state.revision if state else None) != change.before:
            stale.append(_named(change))
            continue
        written.append((change, await writer.send(topic, 0, key=change.key.encode(), value=_bytes(change))))
    for _change, acknowledged in written:
        await acknowledged
    begun = before[-1].offset if before else -1
    since = [m for m in await logs.read_all(topic, 0) if m.offset > begun] if written else []
    for change, _acknowledged in written:
        key, mine = change.key.encode(), _bytes(change)
        first = next((m for m in since if m.key == key and _is_next(topic, m, change.before)), None)
        if first is None or first.value == mine:
            continue
        stale.append(_named(change))
        theirs = _standing(topic, [*before, *(m for m in since if m.key != key or m.value != mine)])
        await (await writer.send(topic, 0, key=key, value=theirs[change.key].message.value))
    return stale


def _latest(topic: str, messages: Sequence[Message]) -> dict[Any, Any]:
    standing = _standing(topic, messages)
    return {
        key: decode_json(stands.message.value, KINDS[topic], f"{topic}/{key}")
        for key, stands in standing.items()
        if stands.revision is not None
    }


def _standing(topic: str, messages: Sequence[Message]) -> dict[str, _Standing]:
    """The record that stands for each key: the first of the greatest revision since its last tombstone."""
    standing: dict[str, _Standing] = {}
    for message in messages:
        key = (message.key or b"").decode("utf-8", "replace")
        try:
            revision = _revision(topic, message)
        except Poison as exc:
            log.warning("%s, offset %d is skipped: %s", topic, message.offset, exc)
            continue
        at = standing[key].revision if key in standing else None
        if revision is None or at is None or revision > at:
            standing[key] = _Standing(revision, message)
    return standing


def _is_next(topic: str, message: Message, before: int | None) -> bool:
    """Whether a record changes what stands, where revision `before` stands."""
    try:
        revision = _revision(topic, message)
    except Poison:
        return False
    if revision is None:
        return before is not None
    return before is None or revision > before


def _revision(topic: str, message: Message) -> int | None:
    """The revision of a record; None: a tombstone. Raises Poison."""
    if message.value is None:
        return None
    key = (message.key or b"").decode("utf-8", "replace")
    return int(decode_json(message.value, KINDS[topic], f"{topic}/{key}").revision)


def _bytes(change: Change) -> bytes | None:
    return None if change.value is None else encode_json(change.value)


def _named(change: Change) -> str:
    thing = {"cameras": "camera", "groups": "group", "scenes": "the scene of", "placement": "the placement of"}
    return f"{thing[change.topic]} {change.key}"
