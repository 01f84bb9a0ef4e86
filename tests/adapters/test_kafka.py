"""One contract for the log, held by the fake and by a real broker; then what only a real broker can show."""

import asyncio
import contextlib
import logging
import socket
import time
import uuid

import pytest
from aiokafka.errors import (
    CommitFailedError,
    DuplicateSequenceNumber,
    KafkaConnectionError,
    OutOfOrderSequenceNumber,
    SaslAuthenticationFailed,
)
from aiokafka.structs import RecordMetadata, TopicPartition

from pipeline.adapters.kafka import Kafka, Security
from pipeline.adapters.kafka.connection import translated
from pipeline.adapters.kafka.writer import _offset
from pipeline.errors import Fatal, Poison, Retry, Revoked
from pipeline.wire.topics import Sizes, Topics
from tests.conftest import SMALL
from tests.fakes.log import Broker


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
def log(request):
    """What keeps the contract: the fake, and the adapter on a real broker."""
    if request.param == "fake":
        return Broker(Topics("traffic.", SMALL))
    servers = request.getfixturevalue("kafka").servers
    return Kafka(servers=servers, topics=request.getfixturevalue("topics"), client_id="tests")


class Member:
    """A member of a group and what happened to it."""

    def __init__(self, log, group="detect", instance=None, topic="frames", assigned=None, revoked=None, **options):
        self.assigned, self.revoked = [], []
        self._do_assigned, self._do_revoked = assigned, revoked
        self._context = log.group(
            topic,
            group,
            instance=instance,
            on_assigned=self._on_assigned,
            on_revoked=self._on_revoked,
            session_ms=6000,
            heartbeat_ms=300,
            **options,
        )

    async def __aenter__(self):
        self.reader = await self._context.__aenter__()
        return self

    async def __aexit__(self, *exc):
        return await self._context.__aexit__(*exc)

    async def _on_assigned(self, partitions):
        self.assigned.append(partitions)
        if self._do_assigned:
            await self._do_assigned(self)

    async def _on_revoked(self, partitions):
        self.revoked.append(partitions)
        if self._do_revoked:
            await self._do_revoked(self)


async def until(what, seconds=30.0):
    """Wait until `what()` is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def put(log, values, topic="frames", partition=0):
    async with log.writer() as writer:
        return [await answer for answer in [await writer.send(topic, partition, key=b"k", value=v) for v in values]]


async def take(reader, n, seconds=30.0):
    """The next n messages of a member."""
    out, deadline = [], time.monotonic() + seconds
    while len(out) < n:
        assert time.monotonic() < deadline, f"only {len(out)} of {n} came"
        for batch in await reader.fetch(n - len(out), 200):
            out += batch.messages
    return out


# --- writing and reading ------------------------------------------------------------------------------


async def test_a_record_comes_back_as_it_was_written(log):
    headers = (("kind", b"frame"), ("empty", b""))
    written_ms = int(time.time() * 1000) - 12_345  # an older one may be taken by retention before it is read

    async with log.writer() as writer, log.logs() as logs:
        await (await writer.send("frames", 2, key=b"cam", value=b"\xff\xd8", headers=headers, timestamp_ms=written_ms))
        await (await writer.send("cameras", 0, key=b"gone", value=None))
        (frame,) = await logs.read_all("frames", 2)
        (tombstone,) = await logs.read_all("cameras", 0)

    assert (frame.topic, frame.partition, frame.offset, frame.key, frame.value) == ("frames", 2, 0, b"cam", b"\xff\xd8")
    assert frame.timestamp_ms == written_ms
    assert tuple(frame.headers) == headers
    assert (tombstone.key, tombstone.value) == (b"gone", None)


async def test_records_lie_in_the_order_of_the_calls_even_when_the_buffer_is_full(log):
    value = b"x" * 60_000
    async with log.writer(buffer_bytes=300_000) as writer, log.logs() as logs:
        sends = [asyncio.create_task(writer.send("frames", n % 2, key=str(n).encode(), value=value)) for n in range(80)]
        answers = await asyncio.gather(*sends)
        offsets = await asyncio.gather(*answers)
        even = await logs.read_all("frames", 0)

    assert [m.key for m in even] == [str(n).encode() for n in range(0, 80, 2)]
    assert [m.offset for m in even] == offsets[::2] == list(range(40))


async def test_a_send_that_waits_for_room_is_not_overtaken_by_a_newcomer(log):
    """Writers that come whenever they like, while others wait for the batch to go."""
    called = 0

    async def write(writer, records):
        nonlocal called
        for n in range(records):
            number, called = called, called + 1  # counted in the same step as the call
            answer = await writer.send("frames", 0, key=str(number).encode(), value=bytes(50_000))
            if n % 3 == 0:
                await answer
            for _ in range(n % 4):
                await asyncio.sleep(0)

    async with log.writer() as writer, log.logs() as logs:
        await asyncio.gather(*(write(writer, 25) for _ in range(12)))
        await writer.flush()
        keys = [m.key for m in await logs.read_all("frames", 0)]

    assert keys == [str(n).encode() for n in range(called)]


async def test_flush_returns_when_everything_is_acknowledged(log):
    async with log.writer() as writer:
        answers = [await writer.send("frames", 1, key=b"k", value=b"v") for _ in range(20)]
        await writer.flush()

        assert all(answer.done() for answer in answers)


async def test_a_record_too_large_is_poison_and_names_its_size_and_the_limit(log):
    limit = log.topics.specs["detections"].max_record_bytes
    async with log.writer() as writer, log.logs() as logs:
        with pytest.raises(Poison, match=rf"detections.* \d+ bytes, at most {limit} "):
            await writer.send("detections", 0, key=b"k", value=b"x" * limit)
        await (await writer.send("detections", 0, key=b"k", value=b"x" * (limit - 200)))

        assert len(await logs.read_all("detections", 0)) == 1


async def test_a_topic_or_partition_that_is_not_ours_is_fatal(log):
    async with log.writer() as writer, log.logs() as logs:
        with pytest.raises(Fatal, match="no topic 'nonsense'"):
            await writer.send("nonsense", 0, key=b"k", value=b"v")
        with pytest.raises(Fatal, match="has 6 partitions, there is no partition 6"):
            await writer.send("frames", 6, key=b"k", value=b"v")
        with pytest.raises(Fatal, match="nonsense"):
            await logs.read_all("nonsense", 0)


async def test_read_all_of_an_empty_partition_is_empty(log):
    async with log.logs() as logs:
        assert await logs.read_all("scenes", 0) == []


async def test_ends_tells_the_next_offset_of_every_partition(log):
    await put(log, [b"a", b"b", b"c"], partition=4)

    async with log.logs() as logs:
        assert await logs.ends("frames") == {0: 0, 1: 0, 2: 0, 3: 0, 4: 3, 5: 0}


async def test_follow_says_when_it_has_caught_up_and_goes_on(log):
    await put(log, [b"a", b"b"], partition=0)
    await put(log, [b"c"], partition=5)

    async with log.logs() as logs, contextlib.aclosing(logs.follow("frames")) as records:
        first = [await anext(records) for _ in range(4)]
        await put(log, [b"d"], partition=2)
        then = [await anext(records), await anext(records)]

    assert sorted(m.value for m in first[:3]) == [b"a", b"b", b"c"]
    assert first[3] is None
    assert then[0].value == b"d"
    assert then[1] is None


async def test_follow_begins_where_it_is_told(log):
    await put(log, [b"a", b"b", b"c"], partition=1)

    async with log.logs() as logs, contextlib.aclosing(logs.follow("frames", {1: 2})) as records:
        assert (await anext(records)).value == b"c"
        assert await anext(records) is None


async def test_follow_reads_only_the_partitions_it_is_told(log):
    await put(log, [b"a"], partition=1)
    await put(log, [b"b"], partition=2)

    async with log.logs() as logs, contextlib.aclosing(logs.follow("frames", partitions=[2])) as records:
        assert (await anext(records)).value == b"b"
        assert await anext(records) is None


async def test_follow_refuses_a_partition_that_is_not_there(log):
    async with log.logs() as logs, contextlib.aclosing(logs.follow("frames", partitions=[99])) as records:
        with pytest.raises(Fatal, match="there is no partition 99"):
            await anext(records)


# --- groups -------------------------------------------------------------------------------------------


async def test_a_member_goes_on_where_the_group_committed(log):
    await put(log, [b"a", b"b", b"c", b"d"], partition=3)

    async with Member(log) as first:
        got = await take(first.reader, 3)
        await first.reader.commit({3: got[1].offset + 1})
    async with Member(log) as second:
        again = await take(second.reader, 2)

    assert [m.value for m in got] == [b"a", b"b", b"c"]
    assert [m.value for m in again] == [b"c", b"d"]


async def test_fetch_is_empty_after_its_timeout(log):
    async with Member(log) as member:
        await until(lambda: member.assigned)
        assert await member.reader.fetch(10, 100) == []


async def test_a_group_that_starts_at_the_latest_skips_what_was_there(log):
    await put(log, [b"old"])
    async with Member(log, reset="latest") as member:
        await until(lambda: member.assigned)
        await member.reader.fetch(10, 500)
        await until(member.reader.owned)
        await member.reader.positions()
        await put(log, [b"new"])
        assert [m.value for m in await take(member.reader, 1)] == [b"new"]


async def test_two_members_share_the_partitions_and_a_leaver_gives_its_own_back_at_once(log):
    async with Member(log) as one:
        await until(lambda: one.reader.owned() == frozenset(range(6)))
        generation = one.reader.generation()
        async with Member(log) as two:
            await until(lambda: len(one.reader.owned()) == len(two.reader.owned()) == 3)
            assert one.reader.owned() | two.reader.owned() == frozenset(range(6))
            assert one.revoked == [frozenset(range(6))]
            assert one.reader.generation() > generation
            await two.reader.leave()
            await until(lambda: one.reader.owned() == frozenset(range(6)), seconds=4)  # the session has 6 s


async def test_a_static_member_that_leaves_is_missed_at_once(log):
    async with Member(log, instance="detect-0") as one, Member(log, instance="detect-1") as two:
        await until(lambda: len(one.reader.owned()) == len(two.reader.owned()) == 3)
        await two.reader.leave()
        await until(lambda: one.reader.owned() == frozenset(range(6)), seconds=4)


async def test_a_static_member_that_comes_back_disturbs_nobody(log):
    async with Member(log, instance="detect-0") as one:
        async with Member(log, instance="detect-1") as two:
            await until(lambda: len(one.reader.owned()) == len(two.reader.owned()) == 3)
            held, revoked = two.reader.owned(), len(one.revoked)
        async with Member(log, instance="detect-1") as again:
            await until(again.reader.owned)
            assert again.reader.owned() == held
            assert len(one.revoked) == revoked
            await again.reader.leave()


async def test_what_is_revoked_can_still_be_committed_by_on_revoked_and_not_later(log):
    await put(log, [b"a", b"b"], partition=0)

    async def drain(member):
        await member.reader.commit({0: 1})

    async with Member(log, revoked=drain) as one:
        await take(one.reader, 2)
        async with Member(log) as two:
            await until(lambda: one.reader.owned() and two.reader.owned() and one.reader.owned() != frozenset(range(6)))
            keeper = one if 0 in one.reader.owned() else two
            (lost, *_) = two.reader.owned()

            with pytest.raises(Revoked):
                await one.reader.commit({lost: 0})
            assert [m.value for m in await take(keeper.reader, 1)] == [b"b"]


async def test_a_member_that_left_cannot_commit(log):
    async with Member(log) as member:
        await until(member.reader.owned)
        await member.reader.leave()

        with pytest.raises(Revoked):
            await member.reader.commit({0: 0})
        with pytest.raises(Revoked):
            await member.reader.fetch(1, 10)


async def test_a_paused_partition_waits_until_it_is_resumed(log):
    await put(log, [b"a"], partition=0)
    await put(log, [b"b"], partition=1)
    async with Member(log) as member:
        await until(member.reader.owned)
        member.reader.pause([0])
        assert [m.value for m in await take(member.reader, 1)] == [b"b"]
        assert await member.reader.fetch(10, 500) == []
        member.reader.resume([0])
        assert [m.value for m in await take(member.reader, 1)] == [b"a"]


async def test_positions_tell_the_place_and_the_end_of_every_owned_partition(log):
    await put(log, [b"a", b"b", b"c"], partition=2)
    async with Member(log) as member:
        await take(member.reader, 1)
        positions = await member.reader.positions()

    assert positions[2] == (1, 3)
    assert positions[0] == (0, 0)
    assert len(positions) == 6


async def test_nothing_is_handed_out_before_on_assigned_is_through(log):
    await put(log, [b"a"])
    restored = asyncio.Event()

    async def restore(_):
        await restored.wait()

    async def read(member):
        return await member.reader.fetch(10, 700)

    async with contextlib.AsyncExitStack() as stack:
        member = Member(log, assigned=restore)
        entering = asyncio.create_task(stack.enter_async_context(member))
        await until(lambda: member.assigned)
        if entering.done():  # the real member joins in the background
            assert await read(member) == []
        restored.set()
        await entering
        assert [m.value for m in await take(member.reader, 1)] == [b"a"]


async def test_an_error_in_on_assigned_is_raised_by_fetch(log):
    async def fail(_):
        raise Fatal("the state cannot be read")

    async with Member(log, assigned=fail) as member:
        with pytest.raises(Fatal, match="the state cannot be read"):
            await take(member.reader, 1, seconds=10)


async def test_a_fetch_that_was_cancelled_loses_nothing(log):
    async with Member(log) as member:
        await until(lambda: member.assigned)
        waiting = asyncio.create_task(member.reader.fetch(10, 5000))
        await asyncio.sleep(0.3)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await put(log, [b"a", b"b"])

        assert [m.value for m in await take(member.reader, 2)] == [b"a", b"b"]


async def test_a_fetch_cancelled_when_its_records_are_there_hands_them_to_the_next(log):
    await put(log, [b"%d" % n for n in range(30)])
    async with Member(log) as member:
        await until(member.reader.owned)
        waiting = asyncio.create_task(member.reader.fetch(25, 5000))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        early = [] if waiting.cancelled() else [m for batch in waiting.result() for m in batch.messages]
        got = await take(member.reader, 30 - len(early))

    assert [m.offset for m in early + got] == list(range(30))


# --- the fake's switches ------------------------------------------------------------------------------


async def test_the_fake_keeps_records_in_order_while_it_is_away():
    log = Broker(Topics("traffic.", SMALL), buffer_bytes=1000, patience_s=0.05)
    async with log.writer() as writer:
        log.away = True
        answers = [await writer.send("frames", 0, key=b"k", value=bytes(300)) for _ in range(2)]
        with pytest.raises(Retry):
            await writer.send("frames", 0, key=b"k", value=bytes(300))
        with pytest.raises(Retry):
            await writer.flush()
        assert log.records("frames") == []
        log.away = False
        assert [await a for a in answers] == [0, 1]


async def test_the_fake_fails_and_forgets_on_demand():
    log = Broker(Topics("traffic.", SMALL))
    async with log.writer() as writer:
        log.fail_next(Retry("forgot"))
        with pytest.raises(Retry, match="forgot"):
            await (await writer.send("frames", 0, key=b"k", value=b"1"))
        with pytest.raises(Retry, match="forgot"):
            await writer.flush()
        log.forgets_offsets = True
        assert await (await writer.send("frames", 0, key=b"k", value=b"2")) == -1
    assert [m.value for m in log.records("frames", 0)] == [b"2"]


async def test_the_fake_hands_the_partitions_of_a_dead_static_member_on_when_its_session_ends():
    log = Broker(Topics("traffic.", SMALL))
    async with Member(log, instance="a") as one:
        async with Member(log, instance="b"):
            pass
        assert len(one.reader.owned()) == 3
        await log.session_ends("detect")
        assert len(one.reader.owned()) == 6


# --- topics -------------------------------------------------------------------------------------------


@pytest.mark.kafka
async def test_topics_are_made_once_and_then_differ_in_nothing(kafka):
    log = Kafka(servers=kafka.servers, topics=Topics(f"t{uuid.uuid4().hex[:8]}.", SMALL), client_id="tests")

    assert len(await log.topics_differ()) == len(log.topics.specs)
    with pytest.raises(Fatal, match="gantry topics apply"):
        await log.log_id()
    made = await log.topics_create()
    again = await log.topics_create()

    assert len(made) == len(log.topics.specs) + 1
    assert again == []
    assert await log.topics_differ() == []
    assert made[-1] == f"log id {await log.log_id()}"


@pytest.mark.kafka
async def test_a_topic_that_is_not_as_it_should_be_is_told_in_plain_words(kafka, topics):
    wider = Sizes(frames=8, shards=3, capture_shards=4, frames_retention_s=60)

    said = await Kafka(servers=kafka.servers, topics=Topics(topics.prefix, wider), client_id="tests").topics_differ()

    assert len(said) == 2
    assert (
        f"topic {topics.prefix}frames has 6 partitions, it should have 8; partitions never change in place" in said[0]
    )
    assert f"topic {topics.prefix}frames has retention.ms 180000, it should be 60000; set it with" in said[1]


@pytest.mark.kafka
async def test_a_worker_minds_how_many_partitions_there_are_and_nothing_else(kafka, topics):
    other = Sizes(frames=6, shards=5, capture_shards=4, frames_retention_s=60)
    log = Kafka(servers=kafka.servers, topics=Topics(topics.prefix, other), client_id="tests")
    nowhere = Kafka(servers=kafka.servers, topics=Topics("nowhere.", other), client_id="tests")

    said = await log.topics_misplace()

    assert {line.split()[1].removeprefix(topics.prefix) for line in said} == {
        spec.name for spec in log.topics.specs.values() if spec.partitions == 5
    }
    assert all("has 3 partitions, it should have 5; partitions never change in place" in line for line in said)
    assert await nowhere.topics_misplace() == []


@pytest.mark.kafka
async def test_a_topic_that_nobody_made_is_fatal_and_says_what_to_do(kafka):
    log = Kafka(servers=kafka.servers, topics=Topics("nobody.made.this.", SMALL), client_id="tests")
    async with log.writer() as writer, log.logs() as logs:
        with pytest.raises(Fatal, match=r"nobody\.made\.this\.frames does not exist; run: gantry topics apply"):
            await writer.send("frames", 0, key=b"k", value=b"v")
        with pytest.raises(Fatal, match="gantry topics apply"):
            await logs.ends("frames")
    with pytest.raises(Fatal, match="gantry topics apply"):
        async with Member(log):
            pass


# --- a broker that is away ----------------------------------------------------------------------------


def nobody_listens() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_without_a_broker_everything_is_retry_and_says_where(caplog):
    server = nobody_listens()
    log = Kafka(servers=[server], topics=Topics(), client_id="tests")

    with pytest.raises(Retry, match=f"kafka at {server}: no broker answers \\(connection refused\\)"):
        async with log.writer():
            pass
    with pytest.raises(Retry, match=server):
        async with Member(log):
            pass
    async with log.logs() as logs:
        with pytest.raises(Retry, match=server):
            await logs.read_all("frames", 0)
    with pytest.raises(Retry, match=server):
        await log.topics_differ()
    assert not [r for r in caplog.records if r.exc_info]


async def test_waiting_for_a_broker_says_so_once_and_ends_when_we_stop():
    log = Kafka(servers=[nobody_listens()], topics=Topics(), client_id="tests")
    said, stop = [], asyncio.Event()

    waiting = asyncio.create_task(log.wait_until_reachable(said.append, stop))
    await until(lambda: said)
    await asyncio.sleep(1.0)
    stop.set()
    await asyncio.wait_for(waiting, 5)

    assert len(said) == 1
    assert said[0].endswith("no broker answers (connection refused); waiting for it")


@pytest.mark.kafka
async def test_a_broker_killed_for_long_in_the_middle_loses_nothing_and_doubles_nothing(  # noqa: C901 - three actors
    own_kafka, caplog
):
    """Writer, group and follower live through an outage longer than any request may take."""
    caplog.set_level(logging.WARNING)
    log = Kafka(servers=own_kafka.servers, topics=Topics("out.", SMALL), client_id="tests")
    await log.topics_create()
    sent, answers, got, seen = 0, [], {}, {0: [], 1: []}

    async with log.writer(patience_s=120) as writer, log.logs() as logs, Member(log) as member:

        async def write():
            nonlocal sent
            while not done.is_set():
                value = str(sent).encode() + bytes(20_000)
                answers.append(await writer.send("frames", 0, key=b"k", value=value))
                answers.append(await writer.send("frames", 1, key=b"k", value=value))
                sent += 1
                await asyncio.sleep(0.01)

        async def read():
            while True:
                for batch in await member.reader.fetch(100, 500):
                    for m in batch.messages:
                        got.setdefault((m.partition, m.offset), []).append(int(m.value.rstrip(b"\0")))
                    with contextlib.suppress(Revoked, Retry):
                        await member.reader.commit({batch.partition: batch.messages[-1].offset + 1})

        async def follow():
            async for m in logs.follow("frames"):
                if m is not None:
                    seen[m.partition].append(int(m.value.rstrip(b"\0")))

        done = asyncio.Event()
        tasks = [asyncio.create_task(job()) for job in (write, read, follow)]
        await until(lambda: len(seen[0]) > 20 and len(got) > 20)
        await asyncio.to_thread(own_kafka.kill)
        before = sent
        await asyncio.sleep(25)
        assert sent > before, "records are taken while the broker is away"
        assert await member.reader.positions() == {}
        await asyncio.to_thread(own_kafka.start)
        await asyncio.sleep(2)
        done.set()
        await tasks[0]
        offsets = await asyncio.wait_for(asyncio.gather(*answers), 60)
        await until(lambda: len(seen[0]) >= sent and len(seen[1]) >= sent and len(got) >= 2 * sent, seconds=60)
        lying = await logs.read_all("frames", 0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert [int(m.value.rstrip(b"\0")) for m in lying] == list(range(sent))
    assert offsets[::2] == offsets[1::2] == list(range(sent))
    assert seen == {0: list(range(sent)), 1: list(range(sent))}
    # A group may read records again, but each of them says the same, and none is missing.
    assert {place: {value} for place, values in got.items() for value in values} == {
        (p, n): {n} for p in (0, 1) for n in range(sent)
    }
    assert [r.message for r in caplog.records if r.exc_info] == []
    told = [r.message for r in caplog.records if r.name == "gantry.kafka" and r.levelno >= logging.WARNING]
    assert told[0] == "kafka does not answer; work waits for it"
    assert len(told) <= 6, told


@pytest.mark.kafka
async def test_a_broker_that_never_comes_back_keeps_nobody_waiting_for_ever(own_kafka):
    log = Kafka(servers=own_kafka.servers, topics=Topics("gone.", SMALL), client_id="tests")
    await log.topics_create()
    async with log.writer(buffer_bytes=100_000, patience_s=1) as writer, log.logs() as logs, Member(log) as member:
        await until(member.reader.owned)
        await (await writer.send("frames", 0, key=b"k", value=b"v"))
        await take(member.reader, 1)
        await logs.ends("frames")
        await asyncio.to_thread(own_kafka.kill)

        kept = await writer.send("frames", 0, key=b"k", value=bytes(60_000))
        with pytest.raises(Retry, match="no room for another record"):
            await writer.send("frames", 0, key=b"k", value=bytes(60_000))
        with pytest.raises(Retry, match="records wait for it"):
            await writer.flush()
        with pytest.raises(Retry):
            await member.reader.commit({0: 1})
        with pytest.raises(Retry):
            await logs.ends("frames")
        assert await member.reader.fetch(1, 100) == []
        began = time.monotonic()
    assert time.monotonic() - began < 25
    with pytest.raises(Retry, match="not known"):
        await kept


# --- what a real broker makes aiokafka do --------------------------------------------------------------


@pytest.mark.kafka
async def test_a_writer_the_broker_forgot_says_retry_and_begins_anew(kafka, topics):
    log = Kafka(servers=kafka.servers, topics=topics, client_id="tests")
    async with log.writer() as writer, log.logs() as logs:
        assert await (await writer.send("frames", 0, key=b"k", value=b"1")) == 0
        # As if the broker had lost what we wrote: our next number is not the one it waits for.
        writer._producer._txn_manager.increment_sequence_number(TopicPartition(topics.name("frames"), 0), 7)
        with pytest.raises(Retry, match="forgot this writer"):
            await (await writer.send("frames", 0, key=b"k", value=b"2"))
        assert await (await writer.send("frames", 0, key=b"k", value=b"2")) == 1
        with pytest.raises(Retry):
            await writer.flush()
        await writer.flush()

        assert [m.value for m in await logs.read_all("frames", 0)] == [b"1", b"2"]


@pytest.mark.kafka
async def test_a_record_that_waits_for_long_for_a_leader_is_not_dropped(kafka, topics, monkeypatch):
    """aiokafka drops it after the time of one request, even from an idempotent producer."""
    log = Kafka(servers=kafka.servers, topics=topics, client_id="tests")
    async with log.writer() as writer:
        await (await writer.send("frames", 0, key=b"k", value=b"1"))
        cluster, accumulator = writer._producer.client.cluster, writer._producer._message_accumulator
        with monkeypatch.context() as patched:
            patched.setattr(cluster, "leader_for_partition", lambda _: -1)
            answer = await writer.send("frames", 0, key=b"k", value=b"2")
            (batch,) = accumulator._batches[TopicPartition(topics.name("frames"), 0)]
            batch._ctime -= 3600  # an hour passes
            await asyncio.sleep(1)
            assert not answer.done()

        assert await answer == 1


@pytest.mark.kafka
async def test_two_processes_with_one_member_name_are_told(kafka, topics):
    """aiokafka lets them steal from each other for ever, silently."""
    log = Kafka(servers=kafka.servers, topics=topics, client_id="tests")

    async def read(member):
        while True:
            await member.reader.fetch(10, 200)

    async with Member(log, instance="detect-0") as one:
        await until(one.reader.owned)
        async with Member(log, instance="detect-0") as two:
            readers = [asyncio.create_task(read(m)) for m in (one, two)]
            done, pending = await asyncio.wait(readers, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.wait(readers)
            assert done
            with pytest.raises(Fatal, match="another process uses the member name 'detect-0'"):
                await done.pop()


def test_a_repeat_whose_place_the_broker_forgot_has_no_offset():
    """aiokafka counts on from -1, so the second record of the batch would seem to lie at 0."""
    tp = TopicPartition("frames", 0)

    assert _offset(RecordMetadata("frames", 0, tp, 0, -1, 0, -1)) == -1
    assert _offset(RecordMetadata("frames", 0, tp, 12, -1, 0, 5)) == 12


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (CommitFailedError("rebalanced"), Revoked),
        (KafkaConnectionError("closed"), Retry),
        (ConnectionRefusedError(111, "refused"), Retry),
        (TimeoutError(), Retry),
        (OutOfOrderSequenceNumber(), Retry),
        (SaslAuthenticationFailed(), Fatal),
        (DuplicateSequenceNumber(), Fatal),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_an_error_says_what_the_caller_must_do(theirs, ours):
    assert type(translated(theirs, "reading frames")) is ours
    assert str(translated(theirs, "reading frames")).startswith("reading frames: ")


# --- security -----------------------------------------------------------------------------------------


def test_user_and_password_reach_the_client():
    log = Kafka(
        servers=["broker:9093"],
        topics=Topics(),
        client_id="tests",
        security=Security(protocol="sasl_ssl", username="gantry", password="secret"),
    )

    settings = log.connection.settings
    assert settings["security_protocol"] == "SASL_SSL"
    assert settings["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (settings["sasl_plain_username"], settings["sasl_plain_password"]) == ("gantry", "secret")
    assert settings["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"protocol": "tls"}, "security is one of plaintext, ssl"),
        ({"protocol": "sasl_ssl", "username": "gantry"}, "needs a username and a password"),
        (
            {"protocol": "sasl_ssl", "username": "u", "password": "secret", "mechanism": "KERBEROS"},
            "sasl_mechanism is one of PLAIN",
        ),
        ({"username": "u", "password": "secret"}, "takes no username"),
        ({"protocol": "ssl", "ca_file": "/no/such/file.pem"}, "/no/such/file.pem does not exist"),
        ({"protocol": "ssl", "ca_file": __file__}, "cannot be read as PEM"),
        ({"protocol": "ssl", "key_file": "key.pem"}, "key_file needs cert_file"),
        ({"ca_file": "ca.pem"}, "uses no certificates"),
    ],
)
def test_security_that_cannot_work_is_refused_in_plain_words(options, says):
    with pytest.raises(Fatal, match=says) as error:
        Kafka(servers=["broker:9092"], topics=Topics(), client_id="tests", security=Security(**options))
    assert "secret" not in str(error.value)


def test_a_password_is_not_shown_with_its_security():
    assert "secret" not in repr(Security(protocol="sasl_ssl", username="gantry", password="secret"))


@pytest.mark.parametrize(("servers", "says"), [([], "no servers"), (["broker:port"], "host:port")])
def test_servers_that_cannot_be_are_refused_in_plain_words(servers, says):
    with pytest.raises(Fatal, match=says):
        Kafka(servers=servers, topics=Topics(), client_id="tests")
