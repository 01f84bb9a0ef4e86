import asyncio
import contextlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.model import Boxes, Crossing, DeadLetter, Entered, Flow, Left, Occurrence, Record
from pipeline.core.scene import Memory
from pipeline.errors import Fatal
from pipeline.stages.track import Snapshot, TrackPolicy, track
from pipeline.wire.codec import VERSION, decode_event, decode_flow, encode_json, encode_record
from tests.core.road import Log, Vehicle, run
from tests.fakes.log import Broker
from tests.fakes.meter import Meter
from workers.process import WallClock

SHARD = 0
CARS = [Vehicle(x=0.3 + 0.1 * n, y=0.2, vy=0.2, from_ms=1000 * n) for n in range(4)]
POLICY = TrackPolicy(snapshot_ms=10, snapshot_records=7, fetch_records=5)


def road():
    log = Log()
    log.open()
    log.drive(CARS, range(0, 8000, 200))
    return log.records


RECORDS = road()
ALL = len(RECORDS)
STRAIGHT = {o.id: o for o in run(RECORDS)[0] if isinstance(o, Occurrence)}
FLOWS = {(f.start_ms, f.revision): f for f in run(RECORDS)[0] if isinstance(f, Flow)}


async def put(broker, records, partition=SHARD):
    async with broker.writer() as writer:
        for record in records:
            out = encode_record(record)
            await writer.send("detections", partition, key=out.key, value=out.value, headers=out.headers)
        await writer.flush()


class Worker:
    """One track process, as a task."""

    runs = 0

    def __init__(self, broker, instance=None, policy=POLICY):
        Worker.runs += 1
        self.broker, self.meter, self.stop, self.run = broker, Meter(), asyncio.Event(), f"run{Worker.runs}"
        self.task = asyncio.create_task(self._run(instance, policy))

    async def _run(self, instance, policy):
        def join(on_assigned, on_revoked):
            return self.broker.group(
                "detections", "track", instance=instance, on_assigned=on_assigned, on_revoked=on_revoked
            )

        async with self.broker.writer() as writer, self.broker.logs() as logs:
            await track(
                join=join, writer=writer, logs=logs, meter=self.meter, clock=WallClock(), policy=policy, run=self.run,
                stop=self.stop,
            )  # fmt: skip

    async def end(self):
        self.stop.set()
        await asyncio.wait_for(self.task, 5)

    async def die(self):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def until(true, seconds=5):
    for _ in range(int(seconds * 500)):
        if true():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came true")


def events(broker):
    """Every event a reader who keys by id has; a repeat must say the same."""
    found = {}
    for m in broker.records("events", SHARD):
        event = decode_event(m.headers, m.value)
        assert found.setdefault(event.id, event) == event
    return found


def snapshots(broker):
    """What a compacted `track-state` would keep."""
    latest = {m.key: m.value for m in broker.records("track-state", SHARD)}
    return {k: msgspec.json.decode(v, type=Snapshot) for k, v in latest.items() if v is not None}


async def done(broker, n=ALL):
    await until(lambda: broker.committed("track").get(SHARD) == n)


async def test_the_events_are_what_the_core_yields_from_the_log():
    broker = Broker()
    await put(broker, RECORDS)
    worker = Worker(broker)
    await done(broker)
    await worker.end()

    assert events(broker) == STRAIGHT
    assert {type(e) for e in STRAIGHT.values()} == {Crossing, Entered, Left}
    assert {m.partition for m in broker.records("tracks")} == {SHARD}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_kills_at_any_moment_lose_nothing_and_double_nothing(pauses):
    async def story():
        broker = Broker()
        await put(broker, RECORDS)
        for pause in pauses:
            worker = Worker(broker)
            for _ in range(pause):
                await asyncio.sleep(0)
            await worker.die()
        worker = Worker(broker)
        await done(broker)
        await worker.end()
        assert events(broker) == STRAIGHT
        assert [s.memory.includes for s in snapshots(broker).values()] == [RECORDS[-1].header.order]

    asyncio.run(story())


CAMERAS = ("north", "east", "south")


def of_camera(camera, traffic):
    log = Log()
    log.open()
    log.drive(traffic, range(0, 6000, 250))
    return [msgspec.structs.replace(r, header=msgspec.structs.replace(r.header, camera=camera)) for r in log.records]


LOGS = {name: of_camera(name, CARS[n : n + 2]) for n, name in enumerate(CAMERAS)}
ALONE = {name: run(records, Memory(camera=name)) for name, records in LOGS.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.permutations([name for name, records in LOGS.items() for _ in records]))
def test_cameras_of_one_shard_change_nothing_for_each_other_in_whatever_order_their_records_come(order):
    async def story():
        waiting = {name: iter(records) for name, records in LOGS.items()}
        broker = Broker()
        await put(broker, [next(waiting[name]) for name in order])
        worker = Worker(broker)
        await done(broker, len(order))
        await worker.end()
        told = events(broker).values()
        for name, (outputs, _, memory) in ALONE.items():
            assert [e for e in told if e.camera == name] == [e for e in outputs if isinstance(e, Occurrence)]
            assert snapshots(broker)[f"{name}@{worker.run}".encode()].memory == memory

    asyncio.run(story())


async def test_nothing_is_committed_or_remembered_before_its_events_are_acknowledged():
    broker = Broker()
    worker = Worker(broker)
    await asyncio.sleep(0.05)
    await put(broker, RECORDS)
    broker.away = True
    await asyncio.sleep(0.1)
    committed, stored = broker.committed("track"), snapshots(broker)
    broker.away = False
    await done(broker)
    await worker.end()

    assert (committed, stored) == ({}, {})
    assert events(broker) == STRAIGHT


async def test_another_worker_takes_over_in_the_middle():
    broker = Broker()
    first = Worker(broker, instance="b")
    await put(broker, RECORDS[:20])
    await until(lambda: broker.committed("track").get(SHARD, 0) > 5)
    second = Worker(broker, instance="a")  # sorts first: shard 0 goes to it
    await put(broker, RECORDS[20:])
    await done(broker)
    await first.end()
    await second.end()

    assert events(broker) == STRAIGHT
    assert second.meter.counts["restored"] == 1


async def test_an_old_owner_that_thaws_cannot_overwrite_the_memory_of_its_successor():
    broker = Broker()
    await put(broker, RECORDS[:30])
    first = Worker(broker)
    await done(broker, 30)
    await first.end()
    old = run(RECORDS[:10])[2]
    async with broker.writer() as writer:
        snapshot = encode_json(Snapshot(offset=10, memory=old))
        await (await writer.send("track-state", SHARD, key=b"c@thawed", value=snapshot))
    await put(broker, RECORDS[30:])
    second = Worker(broker)
    await done(broker)
    await second.end()

    assert events(broker) == STRAIGHT
    assert list(snapshots(broker)) == [f"c@{second.run}".encode()], "what is not the newest is struck out"


async def test_a_memory_that_cannot_be_read_is_told_and_its_camera_begins_anew(caplog):
    broker = Broker()
    async with broker.writer() as writer:
        await (await writer.send("track-state", SHARD, key=b"c@old", value=b"{not a memory"))
    await put(broker, RECORDS)
    worker = Worker(broker)
    await done(broker)
    await worker.end()

    assert events(broker) == STRAIGHT
    assert "begins anew" in caplog.text


async def test_a_memory_of_a_newer_gantry_ends_track_in_words_and_nothing_is_committed_or_struck_out():
    broker = Broker()
    await put(broker, RECORDS)
    newer = msgspec.json.decode(encode_json(Snapshot(offset=9, memory=run(RECORDS[:9])[2]))) | {"v": VERSION + 1}
    async with broker.writer() as writer:
        for key, value in (
            (b"c@older", encode_json(Snapshot(offset=5, memory=run(RECORDS[:5])[2]))),
            (b"c@newer", msgspec.json.encode(newer)),
        ):
            await (await writer.send("track-state", SHARD, key=key, value=value))
    worker = Worker(broker)

    with pytest.raises(
        Fatal, match=r"the memory of c@newer \(track-state partition 0, offset 1\) is of version 2, .*upgrade this one"
    ):
        await asyncio.wait_for(worker.task, 5)
    assert broker.committed("track") == {}
    assert broker.records("events") == []
    assert [m.value is None for m in broker.records("track-state", SHARD)] == [False, False]


@pytest.mark.parametrize("spoil", ["value", "shard", "key", "frame", "boxes", "version"])
async def test_a_record_that_cannot_be_understood_is_a_dead_letter_and_the_next_is_processed(spoil):
    broker = Broker()
    record = RECORDS[5]
    if spoil == "boxes":
        record = Record(record.header, Boxes(**msgspec.structs.asdict(record.body)))
    out = encode_record(record)
    headers = [
        (
            k,
            b"2"
            if (spoil, k) == ("version", "v")
            else b"7"
            if spoil == "shard" and k == "shard"
            else b"frame"
            if spoil == "frame" and k == "kind"
            else v,
        )
        for k, v in out.headers
    ]
    async with broker.writer() as writer:
        await (
            await writer.send(
                "detections", SHARD, key=b"x" if spoil == "key" else out.key, value=b"[" if spoil == "value" else out.value,
                headers=headers,
            )
        )  # fmt: skip
    await put(broker, RECORDS)
    worker = Worker(broker)
    await done(broker, len(RECORDS) + 1)
    await worker.end()

    (dead,) = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]
    assert (dead.topic, dead.offset, dead.process) == ("detections", 0, "track")
    assert events(broker) == STRAIGHT


async def test_windows_of_flow_close_by_the_log_alone():
    log = Log()
    log.open()
    log.drive(CARS, range(0, 70_000, 250))
    broker = Broker()
    await put(broker, log.records)
    worker = Worker(broker)
    await done(broker, len(log.records))
    await worker.end()

    flows = [decode_flow(m.headers, m.value) for m in broker.records("flow", SHARD)]
    assert [(f.start_ms, f.coverage) for f in flows] == [(0, 1.0), (30_000, 1.0)]
    assert sum(c.count for f in flows for line in f.lines for c in line.counts) == 4


async def test_a_shard_that_goes_quiet_is_stored_all_the_same():
    broker = Broker()
    worker = Worker(broker, policy=msgspec.structs.replace(POLICY, snapshot_records=10_000, snapshot_ms=50))
    await put(broker, RECORDS[:9])
    await done(broker, 9)
    await worker.end()

    assert [s.memory.includes for s in snapshots(broker).values()] == [RECORDS[8].header.order]
    assert isinstance(next(iter(snapshots(broker).values())).memory, Memory)
