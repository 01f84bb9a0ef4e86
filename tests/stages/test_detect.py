import asyncio
import contextlib
import re

import msgspec
import pytest

from pipeline.core.model import (
    Boxes,
    CameraId,
    Clock,
    DeadLetter,
    Detections,
    Frame,
    Gap,
    Header,
    Opened,
    Record,
    Size,
    Tick,
)
from pipeline.core.model import CameraState as State
from pipeline.errors import Fatal
from pipeline.stages.detect import DetectPolicy, detect
from pipeline.wire.codec import decode_record, encode_record
from tests.fakes.log import Broker
from tests.fakes.meter import Meter
from tests.fakes.model import Model
from workers.process import WallClock

SIZE = Size(640, 352)
POLICY = DetectPolicy(batch=4, batches=2, waiting=16, commit_ms=20, drain_ms=300, shards=12)


def frame(camera, seq, *, shard=3, jpeg=None, body=None):
    seen = Detections(x1=[0.1], y1=[0.1], x2=[0.2], y2=[0.2], score=[seq / 1000], label=["car"])
    header = Header(
        log="l", camera=CameraId(camera), shard=shard, epoch=1, seq=seq, captured_ms=1000 + seq, clock=Clock.PTS, size=SIZE,
        source_size=SIZE,
    )  # fmt: skip
    return Record(header, body or Frame(msgspec.json.encode(seen) if jpeg is None else jpeg))


async def put(broker, *records, partition=5):
    async with broker.writer() as writer:
        for record in records:
            out = encode_record(record)
            await (await writer.send("frames", partition, key=out.key, value=out.value, headers=out.headers))


class Worker:
    """One detect process, as a task."""

    def __init__(self, broker, model=None, policy=POLICY, instance=None):
        self.broker, self.model, self.meter, self.stop = broker, model or Model(), Meter(), asyncio.Event()
        self.task = asyncio.create_task(self._run(policy, instance))

    async def _run(self, policy, instance):
        def join(on_assigned, on_revoked):
            return self.broker.group(
                "frames", "detect", instance=instance, on_assigned=on_assigned, on_revoked=on_revoked
            )

        async with self.broker.writer() as writer:
            await detect(
                join=join,
                writer=writer,
                model=self.model,
                meter=self.meter,
                clock=WallClock(),
                policy=policy,
                stop=self.stop,
            )

    async def end(self):
        self.stop.set()
        await asyncio.wait_for(self.task, 5)

    async def die(self):
        """As by SIGKILL: nothing of it runs any more."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


async def until(true, seconds=5):
    for _ in range(int(seconds * 200)):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def seen(broker, shard=3):
    return [decode_record(m.headers, m.value) for m in broker.records("detections", shard)]


def orders(broker, shard=3):
    return [(r.header.camera, r.header.seq) for r in seen(broker, shard)]


async def test_every_frame_and_control_record_comes_out_in_its_place():
    broker = Broker()
    opened = frame("a", 0, body=Opened(source_size=SIZE, clock=Clock.PTS))
    await put(
        broker,
        opened,
        *[frame("a", n) for n in range(1, 9)],
        frame("a", 9, body=Tick(state=State.LIVE)),
        frame("a", 10),
    )
    worker = Worker(broker)
    await until(lambda: len(seen(broker)) == 11)
    await worker.end()

    assert orders(broker) == [("a", n) for n in range(11)]
    assert seen(broker)[0].body == opened.body
    assert [r.body.score[0] for r in seen(broker)[1:9]] == [n / 1000 for n in range(1, 9)]
    assert broker.committed("detect") == {5: 11}


async def test_a_picture_that_does_not_decode_is_a_dead_letter_and_a_gap_and_the_next_is_processed():
    broker = Broker()
    await put(broker, frame("a", 1), frame("a", 2, jpeg=b"nonsense"), frame("a", 3))
    worker = Worker(broker)
    await until(lambda: broker.committed("detect") == {5: 3})
    await worker.end()

    (dead,) = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]
    assert (dead.topic, dead.partition, dead.offset, dead.process) == ("frames", 5, 1, "detect")
    assert "no picture" in dead.reason
    assert [type(r.body) for r in seen(broker)] == [Detections, Gap, Detections]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda out: (out.key, b"x", []), "lacks|version"),
        (lambda out: (b"other", out.value, out.headers), "key"),
        (lambda out: (out.key, None, out.headers), "no value"),
        (
            lambda out: (out.key, out.value, [*[h for h in out.headers if h[0] != "shard"], ("shard", b"99")]),
            "shard 99",
        ),
    ],
)
async def test_a_record_that_cannot_be_understood_is_a_dead_letter_and_the_next_is_processed(spoil, says):
    broker = Broker()
    key, value, headers = spoil(encode_record(frame("a", 1)))
    async with broker.writer() as writer:
        await (await writer.send("frames", 5, key=key, value=value, headers=headers))
    await put(broker, frame("a", 2))
    worker = Worker(broker)
    await until(lambda: broker.committed("detect") == {5: 2})
    await worker.end()

    (dead,) = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]
    assert re.search(says, dead.reason)
    assert orders(broker) == [("a", 2)]


async def test_nothing_is_committed_before_its_detections_are_acknowledged():
    broker = Broker()
    await put(broker, *[frame("a", n) for n in range(6)])
    worker = Worker(broker)
    worker.model.gate.clear()
    await until(lambda: worker.model.calls)
    broker.away = True  # from now on nothing is acknowledged
    worker.model.gate.set()
    await asyncio.sleep(0.1)
    before = broker.committed("detect")
    broker.away = False
    await until(lambda: broker.committed("detect") == {5: 6})
    await worker.end()

    assert before == {}


async def test_a_broken_model_is_fatal_and_commits_nothing():
    broker = Broker()
    await put(broker, *[frame("a", n) for n in range(6)])
    worker = Worker(broker)
    worker.model.breaks = Fatal("the accelerator is gone")

    with pytest.raises(Fatal, match="accelerator"):
        await asyncio.wait_for(worker.task, 5)
    assert broker.committed("detect") == {}
    assert seen(broker) == []


async def test_a_killed_detector_loses_nothing_and_its_repeats_are_the_same():
    broker = Broker()
    await put(broker, *[frame("a", n) for n in range(40)])
    for _ in range(3):
        worker = Worker(broker)
        before = len(seen(broker))
        await until(lambda before=before: len(seen(broker)) >= min(40, before + 7))
        await worker.die()
    worker = Worker(broker)
    await until(lambda: broker.committed("detect") == {5: 40})
    await worker.end()

    by_order = {}
    for record in seen(broker):
        assert by_order.setdefault(record.header.order, record) == record
    assert sorted(seq for _, seq in by_order) == list(range(40))


async def test_partitions_that_move_are_finished_or_repeated_and_each_camera_stays_in_order():
    broker = Broker()
    cameras = {p: f"c{p}" for p in range(6)}
    for p, camera in cameras.items():
        await put(broker, *[frame(camera, n, shard=p) for n in range(30)], partition=p)
    first = Worker(broker)
    await until(lambda: len(broker.records("detections")) > 10)
    second = Worker(broker)
    await until(lambda: all(broker.committed("detect").get(p) == 30 for p in cameras))
    await first.end()
    await second.end()

    for p, camera in cameras.items():
        order = [seq for c, seq in orders(broker, p) if c == camera]
        newest = -1
        for seq in order:  # a new owner may begin a little earlier again, but from there on nothing is left out
            assert seq <= newest + 1
            newest = max(newest, seq)
        assert newest == 29


async def test_work_of_a_lost_partition_is_not_produced_after_the_drain():
    broker = Broker()
    await put(broker, *[frame("a", n) for n in range(4)])
    slow = Worker(broker, policy=msgspec.structs.replace(POLICY, drain_ms=30), instance="x")
    slow.model.gate.clear()
    await until(lambda: slow.model.calls)
    other = Worker(broker, instance="a")  # sorts first: partition 5 goes to the second of two members
    await asyncio.sleep(0.1)
    slow.model.gate.set()
    await until(lambda: broker.committed("detect").get(5) == 4)
    await slow.end()
    await other.end()

    assert slow.meter.counts["dropped_on_revoke"] == 4
    assert orders(broker) == [("a", n) for n in range(4)]


def boxes(camera, seq, **more):
    """A frame of a simulated camera."""
    seen = Boxes(x1=[0.5], y1=[0.5], x2=[0.6], y2=[0.6], score=[seq / 1000], label=["bus"], model="sim:none")
    return frame(camera, seq, body=seen, **more)


async def test_boxes_come_out_in_their_place_among_pictures_of_other_cameras_and_the_model_never_sees_them():
    broker = Broker()
    log = [
        (boxes if camera in "bd" else frame)(camera, seq)
        for seq in range(1, 13)
        for camera in ("a", "b", "c", "d")
    ]  # fmt: skip
    log[10:10] = [frame("b", 99, body=Tick(state=State.LIVE)), frame("a", 99, jpeg=b"nonsense")]
    await put(broker, *log)
    worker = Worker(broker)
    worker.model.gate.clear()  # the boxes are ready long before the pictures before them
    await until(lambda: sum(worker.model.calls) == POLICY.batch * POLICY.batches)
    await asyncio.sleep(0.05)
    held = orders(broker)
    worker.model.gate.set()
    await until(lambda: broker.committed("detect") == {5: len(log)})
    await worker.end()

    assert held == []
    assert orders(broker) == [(r.header.camera, r.header.seq) for r in log]
    assert sum(worker.model.calls) == sum(isinstance(r.body, Frame) for r in log)
    of = {camera: [r for r in seen(broker) if r.header.camera == camera] for camera in "abcd"}
    assert [r.body for r in of["d"]] == [boxes("d", n).body.detections() for n in range(1, 13)]
    assert [r.body.label for r in of["b"] if isinstance(r.body, Detections)] == [["bus"]] * 12
    assert [r.body.label for r in of["a"] if isinstance(r.body, Detections)] == [["car"]] * 12
    assert all(r.header == put_.header for r, put_ in zip(seen(broker), log, strict=True))
    fates = {kind: worker.meter.counts["records", kind] for kind in ("analysed", "control", "dead_letter")}
    assert fates == {"analysed": 48, "control": 1, "dead_letter": 1}, "every offset has one fate"


async def test_boxes_that_no_model_would_give_are_a_dead_letter():
    broker = Broker()
    out = encode_record(boxes("a", 1))
    async with broker.writer() as writer:
        await (
            await writer.send("frames", 5, key=out.key, value=out.value.replace(b"0.6", b"0.4"), headers=out.headers)
        )
    await put(broker, boxes("a", 2))
    worker = Worker(broker)
    await until(lambda: broker.committed("detect") == {5: 2})
    await worker.end()

    (dead,) = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]
    assert "a box needs 0 <= x1 < x2 <= 1" in dead.reason
    assert orders(broker) == [("a", 2)]


async def test_memory_is_bounded_by_the_waiting_pictures():
    broker = Broker()
    await put(broker, *[frame("a", n) for n in range(200)])
    worker = Worker(broker)
    worker.model.gate.clear()
    await asyncio.sleep(0.1)
    waiting = worker.meter.gauges[("waiting",)]
    worker.model.gate.set()
    await until(lambda: broker.committed("detect") == {5: 200})
    await worker.end()

    assert waiting == POLICY.waiting
    assert max(worker.model.calls) <= POLICY.batch
