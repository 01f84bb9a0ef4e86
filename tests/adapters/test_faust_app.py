"""The aggregator on a real Kafka: killed, stopped and rebalanced in the middle, it says what the pure fold says.

The oracle folds the same records in memory. A camera's words are a function of its own log alone, so they must
be the same revision by revision; a group hears its members in an order nobody promises, so its last words count.
"""

import asyncio
import os
import random
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError

from pipeline.adapters.faust_app import _credentials, _in_our_words
from pipeline.adapters.kafka import Kafka, Security
from pipeline.core.model import CameraId, DeadLetter, Flow, FlowCount, Group, GroupId, LineFlow, Way, ZoneFlow
from pipeline.errors import Fatal, Retry
from pipeline.ports import Message
from pipeline.stages.aggregate import AggregatePolicy, CameraFold, GroupBook, GroupFold
from pipeline.wire.codec import decode_flow, encode_flow, encode_json
from pipeline.wire.topics import Topics
from tests.conftest import SMALL

pytestmark = pytest.mark.kafka

HERE = Path(__file__).parent
T0 = 1_767_225_600_000
GROUPS = [
    Group(id=GroupId("north"), members=[CameraId("a"), CameraId("b")], revision=1),
    Group(id=GroupId("south"), members=[CameraId("b"), CameraId("c")], revision=1),
]
Key = tuple[str, int, int]


class Quiet:
    """A meter nobody reads."""

    def count(self, name, amount=1, **labels): ...
    def gauge(self, name, value, **labels): ...
    def seconds(self, name, value, **labels): ...


def half_minute(camera: str, n: int, cars: int, *, revision: int = 0, coverage: float = 1.0) -> Flow:
    return Flow(
        place=camera,
        kind="camera",
        start_ms=T0 + n * 30_000,
        window_ms=30_000,
        coverage=coverage,
        lines=[LineFlow(line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=cars)])],
        zones=[ZoneFlow(zone="box", mean_vehicles=float(cars), max_vehicles=cars, occupied_share=0.5)],
        revision=revision,
    )


def story(parts: int, *, seed: int = 1) -> list[Flow]:
    """Half minutes of three cameras: some late, some revised, some told twice, some never told."""
    rng = random.Random(seed)
    told: list[Flow] = []
    for camera in "abc":
        mine: list[Flow] = []
        for n in range(parts):
            if rng.random() < 0.05 and 0 < n < parts - 1:
                continue  # never told
            flow = half_minute(camera, n, rng.randrange(9), coverage=rng.choice([1.0, 1.0, 0.5]))
            later = len(mine) - rng.randrange(1, 6) if rng.random() < 0.1 and len(mine) > 6 else len(mine)
            mine.insert(later, flow) if later != len(mine) else mine.append(flow)
            if rng.random() < 0.1:
                mine.append(flow)
            if rng.random() < 0.1:
                mine.append(msgspec.structs.replace(half_minute(camera, n, rng.randrange(9)), revision=1))
        told += mine
    by_time = sorted(range(len(told)), key=lambda i: (told[i].start_ms // 600_000, i))
    return [told[i] for i in by_time]


def shard(camera: str, shards: int) -> int:
    return "abc".index(camera) % shards


def oracle(told: list[Flow], shards: int) -> dict[Key, Flow]:
    """What the pure folds say last of each window."""
    book = GroupBook()
    for group in GROUPS:
        book.learn(Message("groups", 0, 0, 0, group.id.encode(), encode_json(group), ()))
    folds = {
        "flow": CameraFold(AggregatePolicy(), book, shards, Quiet()),
        "aggregate-members": GroupFold(AggregatePolicy(), Quiet()),
    }
    tables: dict[str, dict[str, bytes]] = {topic: {} for topic in folds}
    last: dict[Key, Flow] = {}
    offsets: Counter[tuple[str, int]] = Counter()
    todo = [("flow", encode_flow(flow), shard(flow.place, shards)) for flow in told]
    while todo:
        topic, record, partition = todo.pop(0)
        offset = offsets[topic, partition]
        offsets[topic, partition] += 1
        message = Message(topic, partition, offset, offset, record.key, record.value, getattr(record, "headers", ()))
        step = folds[topic].step(message, tables[topic].get)
        for key, state in step.states.items():
            tables[topic].pop(key, None) if state is None else tables[topic].update({key: state})
        for out in step.outputs:
            if out.topic == "aggregate-members":
                todo.append((out.topic, out, out.partition))
            else:
                flow = decode_flow(out.headers, out.value)
                last[flow.place, flow.window_ms, flow.start_ms] = flow
    return last


class Log:
    """Reads and writes the topics of one test."""

    def __init__(self, servers: list[str], topics: Topics) -> None:
        self.servers, self.topics, self.shards = servers, topics, topics.sizes.shards

    async def write(self, told: list[Flow]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers, enable_idempotence=True) as producer:
            sent = []
            for flow in told:
                e = encode_flow(flow)
                sent.append(
                    await producer.send(
                        self.topics.name("flow"),
                        e.value,
                        key=e.key,
                        headers=e.headers,
                        partition=shard(flow.place, self.shards),
                    )
                )
            await asyncio.gather(*sent)

    async def write_groups(self, groups: list[Group]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers, enable_idempotence=True) as producer:
            for group in groups:
                await producer.send_and_wait(
                    self.topics.name("groups"), encode_json(group), key=group.id.encode(), partition=0
                )

    async def write_raw(
        self, topic: str, partition: int, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
            await producer.send_and_wait(self.topics.name(topic), value, key=b"x", partition=partition, headers=headers)

    async def read(self, topic: str = "flow") -> list[ConsumerRecord]:
        """Everything that is there now."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            tps = [TopicPartition(self.topics.name(topic), p) for p in range(self.topics.specs[topic].partitions)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            read: list[ConsumerRecord] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    read += records
            return read
        finally:
            await consumer.stop()

    async def configure(self, topic: str, name: str, value: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
        finally:
            await admin.close()

    async def committed(self, topic: str, partition: int) -> int | None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=f"{self.topics.prefix}aggregate", enable_auto_commit=False
        )
        await consumer.start()
        try:
            return await consumer.committed(TopicPartition(self.topics.name(topic), partition))
        finally:
            await consumer.stop()

    async def said(self) -> list[Flow]:
        flows = [
            decode_flow(record.headers, record.value)
            for record in await self.read()
            if record.value is not None and ("v", b"1") in record.headers and record.value.startswith(b'{"place"')
        ]
        return [flow for flow in flows if flow.window_ms != 30_000]

    async def wait_for(
        self, expected: dict[Key, Flow], worker: "Worker", timeout_s: float = 90, *, restart: bool = False
    ) -> list[Flow]:
        """All that was said, once every window of the oracle has been; fails when that does not come."""
        loop = asyncio.get_running_loop()
        deadline, said = loop.time() + timeout_s, []
        while loop.time() < deadline:
            said = await self.said()
            if not differences(said, expected):
                return said
            if restart and not worker.alive():
                worker.start()
            assert worker.alive(), worker.output()
            await asyncio.sleep(0.5)
        raise AssertionError(f"after {timeout_s} s: {differences(said, expected)[:5]}\n{worker.output()}")


def last_words(said: list[Flow]) -> dict[Key, Flow]:
    out: dict[Key, Flow] = {}
    for flow in said:
        key = (flow.place, flow.window_ms, flow.start_ms)
        if key not in out or out[key].revision <= flow.revision:
            out[key] = flow
    return out


def differences(said: list[Flow], expected: dict[Key, Flow]) -> list[str]:
    """How the last words differ from the oracle's; of groups the revision does not count."""
    got = last_words(said)

    def same(key: Key) -> bool:
        if key not in got or key not in expected:
            return False
        if got[key].kind == "group":
            return msgspec.structs.replace(got[key], revision=0) == msgspec.structs.replace(expected[key], revision=0)
        return got[key] == expected[key]

    return [
        f"{key}: got {got.get(key)}, expected {expected.get(key)}"
        for key in sorted(got.keys() | expected.keys())
        if not same(key)
    ]


def contradictions(said: list[Flow]) -> list[tuple[Flow, Flow]]:
    """Records of one window and revision that differ: none may ever be seen."""
    seen: dict[tuple[str, int, int, int], Flow] = {}
    return [
        (seen[key], flow)
        for flow in said
        if seen.setdefault(key := (flow.place, flow.window_ms, flow.start_ms, flow.revision), flow) != flow
    ]


class Worker:
    """An aggregate process of its own."""

    def __init__(self, log: Log, instance: str | None, out: Path) -> None:
        self._log, self._instance, self._out = log, instance, out
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        arguments = [
            ",".join(self._log.servers),
            self._log.topics.prefix,
            str(self._log.shards),
            *([self._instance] if self._instance else []),
        ]
        with self._out.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "aggregate_process.py"), *arguments],
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **environment},
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        return self._out.read_text()

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)


@contextmanager
def worker_of(log: Log, path: Path, instance: str | None = "aggregate-0") -> Iterator[Worker]:
    worker = Worker(log, instance, path / f"{instance}.log")
    worker.start()
    try:
        yield worker
    finally:
        if worker.alive():
            worker.kill()


@pytest.fixture
async def log(kafka, topics):
    log = Log(kafka.servers, topics)
    await log.write_groups(GROUPS)
    return log


async def some_more_said(log: Log, before: int, worker: Worker) -> int:
    """Wait until the worker said something new; how much has been said."""
    for _ in range(600):
        now = len(await log.said())
        if now > before:
            return now
        assert worker.alive(), worker.output()
        await asyncio.sleep(0.05)
    raise AssertionError(f"nothing new was said in 30 s\n{worker.output()}")


async def test_three_cameras_in_two_groups_over_ten_minutes_are_rolled_up_right(log, tmp_path):
    told = story(20)
    await log.write(told)
    with worker_of(log, tmp_path) as worker:
        said = await log.wait_for(oracle(told, log.shards), worker)

    assert contradictions(said) == []
    assert {flow.place for flow in said} == {"a", "b", "c", "north", "south"}
    assert {flow.window_ms for flow in said} == {60_000, 300_000}


async def test_killed_again_and_again_it_loses_nothing_and_counts_nothing_twice(log, tmp_path):
    told = story(300, seed=7)
    await log.write(told)
    rng = random.Random(3)
    with worker_of(log, tmp_path) as worker:
        heard = 0
        for _ in range(3):
            heard = await some_more_said(log, heard, worker)
            await asyncio.sleep(rng.random() / 2)
            worker.kill()
            heard = len(await log.said())
            worker.start()
        expected = oracle(told, log.shards)
        assert heard < len(expected), "every kill came after the end: the story is too short for this machine"
        said = await log.wait_for(expected, worker)

    assert contradictions(said) == []


async def test_told_to_stop_again_and_again_it_loses_nothing_and_ends_well(log, tmp_path):
    told = story(300, seed=8)
    await log.write(told)
    rng = random.Random(4)
    with worker_of(log, tmp_path) as worker:
        heard = 0
        for _ in range(3):
            heard = await some_more_said(log, heard, worker)
            await asyncio.sleep(rng.random() / 2)
            assert worker.kill(signal.SIGTERM) == 0, worker.output()
            heard = len(await log.said())
            worker.start()
        expected = oracle(told, log.shards)
        assert heard < len(expected), "every stop came after the end: the story is too short for this machine"
        said = await log.wait_for(expected, worker)

    assert contradictions(said) == []
    assert "Traceback" not in worker.output()


async def test_what_comes_while_a_recovery_dawdles_is_neither_waited_for_in_vain_nor_skipped(log, tmp_path):
    """The last record of a table before Faust waits for it; the first of a topic before Faust empties its queues."""
    told = story(400, seed=12)
    await log.write(told)
    with worker_of(log, tmp_path) as worker:
        await some_more_said(log, 0, worker)
        assert worker.kill(signal.SIGTERM) == 0, worker.output()
        expected = oracle(told, log.shards)
        assert len(await log.said()) < len(expected), "all was said before the stop: the story is too short"
        worker.start(DAWDLE="1")
        said = await log.wait_for(expected, worker)

    assert contradictions(said) == []


async def test_a_second_worker_that_joins_and_dies_in_the_middle_changes_no_word(log, tmp_path):
    told = story(300, seed=9)
    await log.write(told)
    with worker_of(log, tmp_path, "aggregate-0") as first:
        heard = await some_more_said(log, 0, first)
        with worker_of(log, tmp_path, "aggregate-1") as second:
            await asyncio.sleep(3.5)  # it joins: two rebalances at least
            heard = await some_more_said(log, heard, first)
            second.kill()
        with worker_of(log, tmp_path, "aggregate-2"):
            said = await log.wait_for(oracle(told, log.shards), first, timeout_s=120)

    assert contradictions(said) == []


async def test_what_cannot_be_read_becomes_a_dead_letter_and_the_next_record_counts(log, tmp_path):
    headers = [("v", b"1"), ("kind", b"camera"), ("window_ms", b"30000")]
    await log.write_raw("flow", 0, b"not json", headers)
    await log.write_raw("flow", 0, None, headers)
    await log.write_raw("flow", 0, b"{}", [])
    await log.write_raw("flow", 0, encode_flow(half_minute("b", 0, 9)).value, [("v", b"2"), *headers[1:]])
    await log.write_raw("aggregate-members", 0, b"[]", [])
    told = [half_minute("a", 0, 2), half_minute("a", 1, 3)]
    await log.write(told)
    with worker_of(log, tmp_path) as worker:
        for _ in range(100):
            if [flow.place for flow in await log.said()] == ["a"] and len(await log.read("dead-letters")) == 5:
                break
            assert worker.alive(), worker.output()
            await asyncio.sleep(0.2)
        letters = [msgspec.json.decode(record.value, type=DeadLetter) for record in await log.read("dead-letters")]

    assert sorted((letter.topic, letter.offset, letter.process) for letter in letters) == [
        ("aggregate-members", 0, "aggregate"),
        ("flow", 0, "aggregate"),
        ("flow", 1, "aggregate"),
        ("flow", 2, "aggregate"),
        ("flow", 3, "aggregate"),
    ]
    assert [sum(c.count for line in flow.lines for c in line.counts) for flow in await log.said()] == [5]


async def test_a_group_that_comes_later_is_told_of_the_windows_after_it(log, tmp_path):
    await log.write([half_minute("a", 0, 1), half_minute("a", 1, 1)])
    with worker_of(log, tmp_path) as worker:
        await some_more_said(log, 0, worker)
        await log.write_groups([Group(id=GroupId("new"), members=[CameraId("a")], revision=1)])
        await asyncio.sleep(1.5)
        await log.write([half_minute("a", 2, 1), half_minute("a", 3, 1)])
        for _ in range(100):
            windows = [flow.start_ms for flow in await log.said() if flow.place == "new"]
            if windows:
                break
            await asyncio.sleep(0.1)

    assert windows == [T0 + 60_000]


async def test_a_changelog_record_the_broker_refuses_commits_nothing_and_says_no_word_twice(log, tmp_path):
    """Faust itself logs a warning and commits on: the state would be lost with the next restart."""
    changelog = log.topics.name("aggregate-cameras-changelog")
    await log.configure(changelog, "max.message.bytes", "80")
    told = [half_minute("a", 0, 2), half_minute("a", 1, 3)]
    await log.write(told)
    with worker_of(log, tmp_path) as worker:
        assert await asyncio.to_thread(worker.wait) != 0
        assert "MessageSizeTooLarge" in worker.output()
        assert await log.committed("flow", 0) is None
        await log.configure(changelog, "max.message.bytes", "4194304")
        worker.start()
        said = await log.wait_for(oracle(told, log.shards), worker)

    assert contradictions(said) == []
    assert "Traceback" not in worker.output()


async def test_without_kafka_it_waits_says_so_and_begins_when_kafka_comes(own_kafka, tmp_path):
    topics = Topics("away.", SMALL)
    log = Log(own_kafka.servers, topics)
    await Kafka(servers=own_kafka.servers, topics=topics, client_id="tests").topics_create()
    await log.write_groups(GROUPS)
    await log.write([half_minute("a", 0, 2), half_minute("a", 1, 3)])
    own_kafka.stop()
    with worker_of(log, tmp_path) as worker:
        await asyncio.sleep(4)
        assert worker.alive()
        assert "kafka" in worker.output().lower()
        own_kafka.start()
        await some_more_said(log, 0, worker)
    assert "Traceback" not in worker.output()


async def test_kafka_gone_for_twenty_seconds_in_the_middle_loses_nothing(own_kafka, tmp_path):
    """Faust may or may not live through it; the supervisor starts it again, and what is said is the same."""
    topics = Topics("gone.", SMALL)
    log = Log(own_kafka.servers, topics)
    await Kafka(servers=own_kafka.servers, topics=topics, client_id="tests").topics_create()
    await log.write_groups(GROUPS)
    told = story(200, seed=11)
    await log.write(told)
    expected = oracle(told, log.shards)
    with worker_of(log, tmp_path) as worker:
        heard = await some_more_said(log, 0, worker)
        own_kafka.stop()
        await asyncio.sleep(20)
        own_kafka.start()
        assert heard < len(expected)
        said = await log.wait_for(expected, worker, timeout_s=150, restart=True)

    assert contradictions(said) == []
    assert "Traceback" not in worker.output()


def test_a_refusal_is_fatal_and_an_absence_is_worth_another_process():
    assert isinstance(_in_our_words(TopicAuthorizationFailedError("traffic.flow")), Fatal)
    assert isinstance(_in_our_words(KafkaTimeoutError()), Retry)
    assert isinstance(_in_our_words(KafkaConnectionError("gone")), Retry)
    assert isinstance(_in_our_words(RuntimeError("anything else")), Retry)
    assert isinstance(_in_our_words(Fatal("a saved roll-up is of version 9")), Fatal)


def test_faust_speaks_to_the_brokers_as_the_others_do():
    """One installation has one way in; a mechanism of its own would lock aggregate alone out."""
    security = Security(protocol="sasl_ssl", username="gantry", password="secret")
    theirs = Kafka(servers=["localhost:9"], topics=Topics(), client_id="tests", security=security).connection.settings
    ours = _credentials(security)

    assert (ours.mechanism.value, ours.username, ours.password) == (
        theirs["sasl_mechanism"],
        theirs["sasl_plain_username"],
        theirs["sasl_plain_password"],
    )
    assert ours.protocol.value == theirs["security_protocol"]
    assert isinstance(ours.ssl_context, ssl.SSLContext)
    assert isinstance(_credentials(Security(protocol="ssl")).context, ssl.SSLContext)
    assert _credentials(Security()) is None
