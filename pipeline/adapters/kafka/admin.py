"""Topics as they are and as they should be; and the id of the log."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from pipeline.adapters.kafka.connection import Connection, in_our_words, translated
from pipeline.errors import Fatal, Poison
from pipeline.ports import LogReader, Writer
from pipeline.wire.codec import decode_json, encode_json
from pipeline.wire.topics import Topic, Topics

LOG_KEY = b"@log"  # no camera can be called so
BROKERS_DEFAULT = -1


class _LogId(msgspec.Struct):
    log: str


async def differences(connection: Connection, topics: Topics) -> list[str]:
    """See `Kafka.topics_differ`."""
    async with _admin(connection) as admin:
        there = await _partitions(admin)
        known = [spec for spec in topics.specs.values() if topics.name(spec.name) in there]
        settings = await _settings(admin, [topics.name(spec.name) for spec in known])
    said = []
    for spec in topics.specs.values():
        name = topics.name(spec.name)
        if name not in there:
            said.append(f"topic {name} does not exist; run: gantry topics apply")
            continue
        said += _wrong_width(name, spec, there[name])
        said += _wrong_settings(name, spec, settings[name])
    return said


async def wrong_widths(connection: Connection, topics: Topics) -> list[str]:
    """See `Kafka.topics_misplace`."""
    async with _admin(connection) as admin:
        there = await _partitions(admin)
    named = [(topics.name(spec.name), spec) for spec in topics.specs.values()]
    return [line for name, spec in named if name in there for line in _wrong_width(name, spec, there[name])]


def _wrong_width(name: str, spec: Topic, partitions: int) -> list[str]:
    if partitions == spec.partitions:
        return []
    said = (
        f"topic {name} has {partitions} partitions, it should have {spec.partitions}; partitions never "
        "change in place: set the size to what is there, or drain it and make it anew"
    )
    return [said]


def _wrong_settings(name: str, spec: Topic, there: dict[str, str]) -> list[str]:
    return [
        f"topic {name} has {key} {there.get(key, 'unset')}, it should be {wanted}; "
        f"set it with your Kafka tools: kafka-configs --alter --topic {name} --add-config {key}={wanted}"
        for key, wanted in spec.config.items()
        if there.get(key) != wanted
    ]


async def create_topics(connection: Connection, topics: Topics) -> list[str]:
    """Create what is missing. The brokers' own default says how many copies there are."""
    async with _admin(connection) as admin:
        there = await _partitions(admin)
        missing = [spec for spec in topics.specs.values() if topics.name(spec.name) not in there]
        if not missing:
            return []
        answer = await admin.create_topics(
            [
                NewTopic(
                    topics.name(t.name), t.partitions, BROKERS_DEFAULT, replica_assignments={}, topic_configs=t.config
                )
                for t in missing
            ]
        )
        for name, code, *text in answer.topic_errors:
            kind = for_code(code)
            if code and kind is not TopicAlreadyExistsError:
                raise translated(kind(text[0] if text and text[0] else ""), f"creating topic {name}")
    return [f"topic {topics.name(spec.name)}, {spec.partitions} partitions" for spec in missing]


async def read_log_id(logs: LogReader) -> str:
    """The id every event id begins with. Raises Retry; Fatal when there is none."""
    found = await _find_log_id(logs)
    if found is None:
        raise Fatal("the topics have no log id yet; run: gantry topics apply")
    return found


async def write_log_id(writer: Writer, logs: LogReader) -> list[str]:
    """Write a new id where there is none. Returns what it made, as a line."""
    if await _find_log_id(logs) is not None:
        return []
    made = uuid.uuid4().hex[:12]
    await (await writer.send("epochs", 0, key=LOG_KEY, value=encode_json(_LogId(made))))
    return [f"log id {made}"]


async def _find_log_id(logs: LogReader) -> str | None:
    found: str | None = None
    for message in await logs.read_all("epochs", 0):
        if message.key == LOG_KEY and message.value is not None:
            try:
                # The last one counts, as it does for the broker when it compacts the log.
                read: _LogId = decode_json(message.value, _LogId, "the log id")
            except Poison as exc:
                raise Fatal(f"topic epochs: {exc}") from exc
            found = read.log
    return found


@asynccontextmanager
async def _admin(connection: Connection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=connection.servers, **connection.settings)
    try:
        try:
            await admin.start()
        except (KafkaError, OSError) as exc:
            raise await connection.why_not(exc) from exc
        with in_our_words("asking for the topics"):
            yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    out: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for resource in answer.resources:
            code, text, _kind, name, entries, *_rest = resource
            if code:
                raise translated(for_code(code)(text or ""), f"asking for the settings of {name}")
            out[name] = {str(key): str(value) for key, value, *_more in entries}
    return out
