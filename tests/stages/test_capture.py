import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from pipeline.core.model import (
    Boxes,
    Camera,
    CameraState,
    Clock,
    Closed,
    Frame,
    Gap,
    GapReason,
    Health,
    Line,
    Opened,
    Placement,
    Scene,
    Size,
    Tick,
)
from pipeline.errors import Fatal, Poison, Retry
from pipeline.ports import Picture
from pipeline.stages.capture import CapturePolicy, capture
from pipeline.stages.capture.camera import backoff_s
from pipeline.wire.codec import decode_record, encode_json
from tests.fakes.clock import PushedClock, settle
from tests.fakes.log import Broker

SIZE, SOURCE = Size(640, 360), Size(1280, 720)
SCENE = Scene(drawn_on=SOURCE, revision=1, lines=[Line(name="stop", start=(0.1, 0.5), end=(0.9, 0.5))])
END = object()


def picture(at, *, size=40, clock=Clock.PTS, source=SOURCE, **more):
    return Picture(body=Frame(b"j" * size), captured_ms=at, clock=clock, size=SIZE, source_size=source, **more)


def seen(at, *, boxes=3, **more):
    """What a simulated camera shows."""
    columns = dict.fromkeys(("x1", "y1"), [0.1] * boxes) | dict.fromkeys(("x2", "y2"), [0.2] * boxes)
    body = Boxes(**columns, score=[0.5] * boxes, label=["car"] * boxes, model="sim:none")
    return Picture(body=body, captured_ms=at, clock=Clock.FILE, size=SOURCE, source_size=SOURCE, **more)


class Cameras:
    """A `ports.Source` whose pictures a test hands in, camera by camera."""

    def __init__(self):
        self.lines = {}
        self.opened = Counter()
        self.closed = Counter()

    def line(self, camera):
        return self.lines.setdefault(camera, asyncio.Queue())

    async def show(self, camera, *pictures):
        for each in pictures:
            self.line(camera).put_nowait(each)
        await settle()

    async def pictures(self, camera):
        self.opened[camera.id] += 1
        try:
            while (said := await self.line(camera.id).get()) is not END:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.closed[camera.id] += 1


class Counts:
    """A `ports.Meter` to look at."""

    def __init__(self):
        self.counts, self.gauges, self.times = Counter(), {}, []

    def count(self, name, amount=1, **labels):
        self.counts[name, *sorted(labels.items())] += amount

    def gauge(self, name, value, **labels):
        key = (name, *sorted(labels.items()))
        self.gauges[key] = value
        if value is None:
            del self.gauges[key]

    def seconds(self, name, value, **labels):
        self.times.append((name, value))


class Site:
    """A running capture process, and everything around it."""

    def __init__(self, **policy):
        self.broker = Broker()
        self.cameras = Cameras()
        self.clock = PushedClock()
        self.meter = Counts()
        self.stop = asyncio.Event()
        self.policy = CapturePolicy(backoff_first_s=1, backoff_most_s=8, **policy)
        self.task = None

    def join(self, on_assigned, on_revoked):
        return self.broker.group(
            "capture-shards", "capture", instance=None, on_assigned=on_assigned, on_revoked=on_revoked
        )

    async def start(self):
        async with self.broker.writer() as writer, self.broker.logs() as logs:
            await capture(
                source=self.cameras,
                writer=writer,
                logs=logs,
                join=self.join,
                log_id="log1",
                policy=self.policy,
                meter=self.meter,
                clock=self.clock,
                stop=self.stop,
            )

    async def keep(self, topic, key, value):
        async with self.broker.writer() as writer:
            ack = await writer.send(topic, 0, key=key.encode(), value=None if value is None else encode_json(value))
            await ack
        await settle()

    async def camera(self, name="cam", *, partition=3, scene=None, revision=1, capture_shard=0, **more):
        entry = Camera(id=name, source="rtsp://x/1", shard=2, capture_shard=capture_shard, revision=revision, **more)
        await self.place(name, partition, revision=revision)
        if scene is not None:
            await self.keep("scenes", name, scene)
        await self.keep("cameras", name, entry)

    async def place(self, name, partition, revision=1):
        await self.keep("placement", name, Placement(camera=name, partition=partition, revision=revision))

    def log(self, partition=3, camera="cam"):
        records = [decode_record(m.headers, m.value) for m in self.broker.records("frames", partition)]
        return [r for r in records if r.header.camera == camera]

    def bodies(self, partition=3, camera="cam"):
        return [r.body for r in self.log(partition, camera)]

    def kinds(self, partition=3, camera="cam"):
        return [type(b).__name__ for b in self.bodies(partition, camera)]


@asynccontextmanager
async def running(**policy):
    site = Site(**policy)
    site.task = asyncio.create_task(site.start())
    await settle()
    try:
        yield site
        if site.task.done():
            site.task.result()
    finally:
        site.stop.set()
        site.broker.away = False
        for _ in range(20):
            await site.clock.push(1)
            if site.task.done():
                break
        site.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await site.task


def assert_lawful(records):
    """Every record has the next number of its epoch, epochs rise, each begins with `opened`."""
    last = {}
    for record in records:
        epoch, seq = record.header.order
        if epoch not in last:
            assert isinstance(record.body, Opened)
            assert epoch > max(last, default=-1)
        assert seq == last.get(epoch, -1) + 1
        last[epoch] = seq


# --- the log ------------------------------------------------------------------------------------


async def test_a_camera_begins_with_opened_then_its_scene_then_its_pictures():
    async with running() as site:
        await site.camera(scene=SCENE, fps=10)
        await site.cameras.show("cam", picture(1000), picture(1100))

        opened, scene, first, second = site.log()

    assert opened.body == Opened(source_size=SOURCE, clock=Clock.PTS, fps=10, partition=3, first_ms=1000)
    assert scene.body == SCENE
    assert [first.body, second.body] == [Frame(b"j" * 40)] * 2
    assert [r.header.captured_ms for r in (opened, scene, first, second)] == [1000, 1000, 1000, 1100]
    assert (first.header.log, first.header.shard, first.header.clock) == ("log1", 2, Clock.PTS)
    assert (first.header.size, first.header.source_size) == (SIZE, SOURCE)
    assert (opened.header.size, opened.header.source_size) == (None, None)
    assert_lawful([opened, scene, first, second])


async def test_what_a_picture_was_measured_to_be_stands_before_it_and_takes_a_place_of_its_own():
    health = Health(brightness=90.0, contrast=30.0, sharpness=9.0, difference=None, thumb=bytes(48 * 27))
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(1000, health=health), picture(1100))

        opened, measured, first, second = site.log()

    assert [type(r.body) for r in (opened, measured, first, second)] == [Opened, Health, Frame, Frame]
    assert [r.header.captured_ms for r in (measured, first, second)] == [1000, 1000, 1100]
    assert measured.body == health
    assert_lawful([opened, measured, first, second])


async def test_a_simulated_camera_is_written_as_any_other_but_its_frames_are_boxes():
    async with running() as site:
        await site.camera(scene=SCENE, pace="fast")
        await site.cameras.show("cam", seen(0), seen(100, boxes=0), seen(0, restarts=True), END)
        records = site.log()

    assert [type(r.body).__name__ for r in records] == [
        "Opened", "Scene", "Boxes", "Boxes", "Opened", "Scene", "Boxes", "Closed",
    ]  # fmt: skip
    first = records[2]
    assert first.body == seen(0).body
    assert (first.header.captured_ms, first.header.size, first.header.source_size) == (0, SOURCE, SOURCE)
    assert [len(r.body) for r in records if isinstance(r.body, Boxes)] == [3, 0, 3]
    assert [(r.body.clock, r.body.restarts) for r in records if isinstance(r.body, Opened)] == [
        (Clock.FILE, False), (Clock.FILE, True),
    ]  # fmt: skip
    assert site.meter.counts["frames", ("camera", "cam")] == 3
    assert_lawful(records)


async def test_the_number_of_an_epoch_is_the_offset_of_its_record():
    async with running() as site:
        await site.camera("a", partition=1)
        await site.camera("b", partition=2)
        await site.cameras.show("a", picture(1000))
        await site.cameras.show("b", picture(1000))

        assert [r.header.epoch for r in site.log(1, "a")[:1] + site.log(2, "b")[:1]] == [0, 1]
        assert [(m.key, m.value) for m in site.broker.records("epochs")] == [
            (b"a", b'{"partition":1}'),
            (b"b", b'{"partition":2}'),
        ]


async def test_an_epoch_without_a_known_offset_is_asked_for_again():
    async with running() as site:
        site.broker.forgets_offsets = True
        await site.camera()
        await site.cameras.show("cam", picture(1000))
        assert site.log() == []
        site.broker.forgets_offsets = False
        await settle()

        assert site.log()[0].header.epoch == site.broker.records("epochs")[-1].offset > 0


async def test_opened_and_scene_are_repeated_as_a_keyframe():
    async with running(keyframe_s=20) as site:
        await site.camera(scene=SCENE)
        for second in range(45):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)

        kinds, records = site.kinds(), site.log()

    assert [n for n, kind in enumerate(kinds) if kind == "Opened"] == [0, 22, 44]
    assert [n for n, kind in enumerate(kinds) if kind == "Scene"] == [1, 23, 45]
    assert records[22].body == records[0].body
    assert records[22].header.captured_ms == records[21].header.captured_ms
    assert_lawful(records)


async def test_a_quiet_camera_ticks_once_a_second_on_its_own_clock():
    async with running(quiet_s=2) as site:
        await site.camera()
        await site.cameras.show("cam", picture(50_000))
        await site.clock.push(5.5)
        ticks = [r for r in site.log() if isinstance(r.body, Tick)]

    assert [t.body.state for t in ticks] == [CameraState.STALLED] * len(ticks)
    assert [t.header.captured_ms for t in ticks] == [52_000, 53_000, 54_000, 55_000]


async def test_a_live_camera_does_not_tick():
    async with running() as site:
        await site.camera()
        for second in range(20):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)

        assert "Tick" not in site.kinds()


async def test_a_slow_camera_is_not_taken_for_a_quiet_one():
    async with running(quiet_s=2) as site:
        await site.camera(fps=0.5)
        for second in range(0, 20, 2):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(2)

        assert "Tick" not in site.kinds()


# --- epochs -------------------------------------------------------------------------------------


async def test_a_broken_connection_ticks_then_goes_on_in_a_new_epoch_with_a_gap_for_what_was_lost():
    async with running() as site:
        await site.camera(scene=SCENE)
        await site.cameras.show("cam", picture(1000), Retry("camera cam: gone"))
        await site.clock.push(3)
        await site.cameras.show("cam", picture(4500), picture(4600))
        records = site.log()

    old, new = [r for r in records if r.header.epoch == 0], [r for r in records if r.header.epoch == 1]
    assert [type(r.body).__name__ for r in old][:3] == ["Opened", "Scene", "Frame"]
    assert {r.body.state for r in old[3:]} <= {CameraState.BACKOFF, CameraState.CONNECTING}
    assert len(old) > 3
    opened, scene, gap, first, second = (r.body for r in new)
    assert (opened.epoch_before, opened.partition_before, opened.restarts) == (0, 3, False)
    assert scene == SCENE
    assert gap == Gap(from_ms=1001, to_ms=4499, reason=GapReason.LOST)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert_lawful(records)


async def test_fresh_pictures_begin_an_epoch_in_which_tracks_go_on():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(1000), picture(1100, fresh=True, source=Size(640, 480)))
        records = site.log()

    assert [r.header.epoch for r in records] == [0, 0, 1, 1]
    assert records[2].body.source_size == Size(640, 480)
    assert records[2].body.restarts is False
    assert_lawful(records)


async def test_a_looped_film_begins_an_epoch_in_which_tracks_end():
    async with running() as site:
        await site.camera(loop=True)
        await site.cameras.show("cam", picture(0, clock=Clock.FILE), picture(40, clock=Clock.FILE, restarts=True))
        opened = [b for b in site.bodies() if isinstance(b, Opened)]

    assert [o.restarts for o in opened] == [False, True]


async def test_a_clock_that_went_back_between_two_connections_ends_tracks():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(9000), Retry("gone"))
        await site.clock.push(2)
        await site.cameras.show("cam", picture(5000))
        bodies = site.bodies()

    assert [b.restarts for b in bodies if isinstance(b, Opened)] == [False, True]
    assert not any(isinstance(b, Gap) for b in bodies)


async def test_a_camera_that_another_worker_ran_before_names_that_epoch():
    site = Site()
    async with site.broker.writer() as writer:
        await (await writer.send("epochs", 0, key=b"@log", value=b'{"log":"log1"}'))
        await (await writer.send("epochs", 0, key=b"cam", value=b'{"partition":5}'))
        await (await writer.send("epochs", 0, key=b"other", value=b'{"partition":6}'))
    site.task = asyncio.create_task(site.start())
    await site.camera()
    await site.cameras.show("cam", picture(1000))
    opened = site.bodies()[0]
    site.stop.set()
    await site.task

    assert (opened.epoch_before, opened.partition_before) == (1, 5)


async def test_a_move_closes_the_old_partition_and_opens_the_new_one():
    async with running() as site:
        await site.camera(scene=SCENE)
        await site.cameras.show("cam", picture(1000), picture(1100))
        await site.place("cam", 7, revision=2)
        await site.cameras.show("cam", picture(1200))

        assert site.bodies(3)[-1] == Closed(last_seq=3, reason="moved")
        opened, scene, frame = site.log(7)
        assert (opened.body.epoch_before, opened.body.partition_before, opened.body.partition) == (0, 3, 7)
        assert (opened.body.restarts, opened.header.captured_ms) == (False, 1100)
        assert scene.body == SCENE
        assert (frame.header.epoch, frame.header.captured_ms) == (1, 1200)
        assert site.cameras.opened["cam"] == 1


async def test_a_film_that_ended_is_closed_and_stays_so_until_its_entry_changes():
    async with running() as site:
        await site.camera(pace="fast")
        await site.cameras.show("cam", picture(0, clock=Clock.FILE), END)
        await site.clock.push(30)
        assert site.kinds() == ["Opened", "Frame", "Closed"]
        assert site.bodies()[-1] == Closed(last_seq=1, reason="ended")

        await site.place("cam", 4)
        assert site.cameras.opened["cam"] == 1

        await site.camera(pace="fast", revision=2)
        assert site.cameras.opened["cam"] == 2
        await site.cameras.show("cam", picture(0, clock=Clock.FILE))
        assert site.bodies()[3].restarts is True


async def test_stopping_closes_every_epoch_and_leaves_the_group():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(1000))
        site.stop.set()
        await settle()

        assert site.task.done()
        assert site.bodies()[-1] == Closed(last_seq=1, reason="stopped")
        assert site.broker._groups["capture"].members == []
        assert site.cameras.closed["cam"] == 1


async def test_a_camera_that_never_answered_writes_nothing():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", Retry("no answer"))
        await site.clock.push(60)

        assert site.log() == []
        assert site.broker.records("epochs") == []


# --- scenes -------------------------------------------------------------------------------------


async def test_a_new_scene_is_written_at_once():
    async with running() as site:
        await site.camera(scene=SCENE)
        await site.cameras.show("cam", picture(1000))
        newer = msgspec.structs.replace(SCENE, revision=2, lines=[])
        await site.keep("scenes", "cam", newer)

        assert site.bodies()[-1] == newer


async def test_an_unchanged_registry_writes_no_scene():
    async with running() as site:
        await site.camera(scene=SCENE)
        await site.cameras.show("cam", picture(1000))
        await site.keep("scenes", "cam", SCENE)
        await site.camera("other", partition=4)

        assert site.kinds().count("Scene") == 1


async def test_a_scene_drawn_on_another_shape_is_refused_once_and_the_camera_goes_on(caplog):
    square = msgspec.structs.replace(SCENE, drawn_on=Size(720, 720))
    async with running() as site:
        await site.camera(scene=square)
        for second in range(50):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)

        assert "Scene" not in site.kinds()
        assert site.kinds().count("Frame") == 50
        assert site.meter.counts["scenes_refused", ("camera", "cam")] == 1
    assert len([r for r in caplog.records if "drawn on 720x720" in r.getMessage()]) == 1


@pytest.mark.parametrize("drawn_on", [Size(640, 360), Size(1920, 1080), Size(704, 400)])
async def test_a_scene_drawn_on_any_size_of_the_same_picture_is_taken(drawn_on):
    async with running() as site:
        await site.camera(scene=msgspec.structs.replace(SCENE, drawn_on=drawn_on))
        await site.cameras.show("cam", picture(1000))

        assert "Scene" in site.kinds()


@pytest.mark.parametrize("end", ["removed", "does not fit any more"])
async def test_nobody_goes_on_measuring_by_a_scene_that_is_gone(end):
    async with running() as site:
        await site.camera(scene=SCENE)
        await site.cameras.show("cam", picture(1000))
        if end == "removed":
            await site.keep("scenes", "cam", None)
        else:
            await site.cameras.show("cam", picture(2000, fresh=True, source=Size(480, 480)))
        last = [b for b in site.bodies() if isinstance(b, Scene)][-1]

    assert (last.lines, last.zones) == ([], [])


# --- back-pressure ------------------------------------------------------------------------------


async def test_while_the_broker_is_away_pictures_wait_and_then_all_come_in_order():
    async with running(unacknowledged=4) as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        site.broker.away = True
        for second in range(1, 30):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)
        site.broker.away = False
        await settle()
        await site.clock.push(2)
        records = site.log()

    assert [r.header.captured_ms for r in records if isinstance(r.body, Frame)] == list(range(0, 30_000, 1000))
    assert not any(isinstance(r.body, Gap) for r in records)
    assert_lawful(records)


async def test_that_the_broker_is_away_is_said_once_and_that_it_is_back_too(caplog):
    caplog.set_level(logging.INFO)
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        site.broker.away = True
        for second in range(1, 40):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)
        site.broker.away = False
        await site.clock.push(3)
    said = [r.getMessage() for r in caplog.records if "kafka ack" in r.getMessage()]

    assert [s.split(":")[0] for s in said] == ["kafka acknowledges nothing", "kafka acknowledges again"]


async def test_what_memory_cannot_hold_becomes_one_gap_in_its_place():
    async with running(unacknowledged=2, backlog_bytes=5 * 2024) as site:
        await site.camera()
        await site.cameras.show("cam", picture(0, size=1000))
        site.broker.away = True
        await site.cameras.show("cam", *(picture(100 * n, size=1000) for n in range(1, 21)))
        site.broker.away = False
        await settle()
        await site.clock.push(2)
        records = site.log()
        dropped = site.meter.counts["dropped", ("camera", "cam"), ("reason", "overflow")]

    (gap,) = [r for r in records if isinstance(r.body, Gap)]
    frames = [r.header.captured_ms for r in records if isinstance(r.body, Frame)]
    assert gap.body.reason is GapReason.OVERFLOW
    assert gap.body.frames == dropped > 0
    assert dropped + len(frames) == 21
    assert not [f for f in frames if gap.body.from_ms <= f <= gap.body.to_ms]
    assert frames[-5:] == [1600, 1700, 1800, 1900, 2000]
    assert_lawful(records)


async def test_pictures_of_before_the_first_contact_wait_for_an_epoch():
    async with running() as site:
        await site.camera()
        site.broker.away = True
        await site.cameras.show("cam", picture(0), picture(100))
        await site.clock.push(3)
        assert site.log() == []
        site.broker.away = False
        await site.clock.push(3)

        assert site.kinds()[:3] == ["Opened", "Frame", "Frame"]


async def test_a_film_without_a_pace_waits_for_the_broker_and_loses_nothing():
    async with running(unacknowledged=2, ahead=4, backlog_bytes=4 * 2024) as site:
        await site.camera(pace="fast")
        site.broker.away = True
        await site.cameras.show("cam", *(picture(40 * n, size=1000, clock=Clock.FILE) for n in range(50)), END)
        assert site.cameras.line("cam").qsize() > 40
        site.broker.away = False
        await settle()
        await site.clock.push(3)

        assert site.kinds() == ["Opened", *["Frame"] * 50, "Closed"]


async def test_boxes_that_wait_are_bounded_in_memory_too():
    """They weigh what they hold: many boxes fill the backlog, empty frames hardly."""
    async with running(unacknowledged=2, backlog_bytes=30_000) as site:
        await site.camera()
        await site.cameras.show("cam", seen(0))
        site.broker.away = True
        await site.cameras.show("cam", *(seen(100 * n, boxes=40) for n in range(1, 11)))
        assert site.meter.counts["dropped", ("camera", "cam"), ("reason", "overflow")] == 8
        site.broker.away = False
        await settle()
        await site.clock.push(2)
        records = site.log()

    (gap,) = [r.body for r in records if isinstance(r.body, Gap)]
    assert (gap.frames, gap.reason) == (8, GapReason.OVERFLOW)
    assert sum(isinstance(r.body, Boxes) for r in records) == 11 - 8
    assert_lawful(records)


async def test_a_simulated_camera_without_a_pace_waits_for_the_broker_and_loses_nothing():
    async with running(unacknowledged=2, ahead=4, backlog_bytes=4 * 2024) as site:
        await site.camera(pace="fast")
        site.broker.away = True
        await site.cameras.show("cam", *(seen(100 * n) for n in range(50)), END)
        assert site.cameras.line("cam").qsize() > 40
        site.broker.away = False
        await settle()
        await site.clock.push(3)

        assert site.kinds() == ["Opened", *["Boxes"] * 50, "Closed"]


async def test_a_picture_too_large_for_the_log_becomes_a_gap_and_the_camera_goes_on():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0), picture(100, size=5 * 1024 * 1024), picture(200))
        records = site.log()

    assert [type(r.body).__name__ for r in records] == ["Opened", "Frame", "Gap", "Frame"]
    assert records[2].body == Gap(from_ms=100, to_ms=100, reason=GapReason.LOST, frames=1)
    assert_lawful(records)


@pytest.mark.parametrize("refuses", ["the client", "the broker"])
async def test_a_camera_whose_pictures_are_refused_says_so_once_then_now_and_then_how_many_and_once_that_it_is_over(
    refuses, caplog
):
    caplog.set_level("INFO", "gantry.capture")

    async def show(site, *, refused):
        if refused and refuses == "the broker":
            site.broker.fail_next(Poison("too large for the broker"))
        large = refused and refuses == "the client"
        now_ms = site.clock.now_ms()
        await site.cameras.show("cam", picture(now_ms, size=5 * 1024 * 1024 if large else 40))
        await site.clock.push(0.5)

    def said():
        words = [r.getMessage() for r in caplog.records if "refused" in r.getMessage() or "left out" in r.getMessage()]
        caplog.clear()
        return words

    async with running() as site:
        await site.camera()
        await show(site, refused=False)
        for _ in range(60):
            await show(site, refused=True)
        first = said()
        await show(site, refused=True)
        again = said()
        for _ in range(50):
            await show(site, refused=False)
        early = said()
        for _ in range(50):
            await show(site, refused=False)
        over = said()
        counted = site.meter.counts["dropped", ("camera", "cam"), ("reason", "lost")]

    why = "too large for the broker" if refuses == "the broker" else "at most"
    assert [word.startswith("camera cam: a record is refused and left out: ") for word in first] == [True]
    assert why in first[0]
    assert [word.startswith("camera cam: 60 more records were refused and left out: ") for word in again] == [True]
    assert early == []
    assert over == ["camera cam: its records are taken again; 61 were left out"]
    assert counted == 61


async def test_a_camera_that_is_stopped_while_its_pictures_are_refused_says_how_many_there_were(caplog):
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0), *(picture(100 * n, size=5 * 1024 * 1024) for n in range(1, 8)))

    assert "camera cam: stopped while records were refused; 7 were left out" in caplog.text


async def test_a_record_that_may_not_be_written_is_sent_again_under_its_own_number():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        site.broker.fail_next(Retry("the broker forgot us"))
        await site.cameras.show("cam", picture(100))
        await site.cameras.show("cam", picture(200))
        records = site.log()

    assert sorted(r.header.order for r in records) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert [r.header.captured_ms for r in sorted(records, key=lambda r: r.header.order)] == [0, 0, 100, 200]


async def test_a_broker_that_will_never_take_our_records_ends_the_process():
    site = Site()
    site.task = asyncio.create_task(site.start())
    await settle()
    await site.camera(partition=999)
    await site.cameras.show("cam", picture(0))

    with pytest.raises(Fatal, match="no partition 999"):
        await asyncio.wait_for(site.task, 5)


# --- cameras, shards ----------------------------------------------------------------------------


async def test_one_camera_that_fails_does_not_hold_up_another():
    async with running() as site:
        await site.camera("bad", partition=1)
        await site.camera("good", partition=2)
        await site.cameras.show("bad", Fatal("/gone.mp4: no such file"))
        for second in range(6):
            await site.cameras.show("good", picture(1000 * second))
            await site.clock.push(1)

        assert site.kinds(2, "good").count("Frame") == 6
        assert site.meter.gauges["state", ("camera", "bad"), ("state", "backoff")] == 1


async def test_a_source_that_a_person_mends_is_tried_again():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", Fatal("/gone.mp4: no such file"))
        await site.clock.push(site.policy.backoff_most_s + 1)
        await site.cameras.show("cam", picture(0))

        assert "Frame" in site.kinds()


async def test_the_waits_between_failures_double_are_capped_and_are_spread():
    policy = CapturePolicy(backoff_first_s=1, backoff_most_s=10)
    for failures, most in enumerate([1, 2, 4, 8, 10, 10]):
        waits = {backoff_s(failures, policy) for _ in range(200)}

        assert most / 2 <= min(waits) < max(waits) <= most
        assert len(waits) > 100


async def test_failures_are_forgotten_after_a_steady_connection():
    async with running(steady_s=30) as site:
        await site.camera()
        for _ in range(6):
            await site.cameras.show("cam", Retry("no answer"))
            await site.clock.push(9)
        for second in range(40):
            await site.cameras.show("cam", picture(1000 * second))
            await site.clock.push(1)
        before = site.cameras.opened["cam"]
        await site.cameras.show("cam", Retry("gone"))
        await site.clock.push(1.01)

        assert site.cameras.opened["cam"] == before + 1


async def test_a_rebalance_does_not_interrupt_cameras_whose_shard_stays():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        await site.broker.rebalance("capture")
        await site.cameras.show("cam", picture(100))

        assert site.cameras.opened["cam"] == 1
        assert site.kinds() == ["Opened", "Frame", "Frame"]


async def test_a_camera_whose_shard_moves_is_closed_here():
    async def nothing(_):
        pass

    async with running() as site:
        await site.camera("stays", partition=1, capture_shard=0)
        await site.camera("moves", partition=2, capture_shard=1)
        await site.cameras.show("stays", picture(0))
        await site.cameras.show("moves", picture(0))
        async with site.broker.group(
            "capture-shards", "capture", instance=None, on_assigned=nothing, on_revoked=nothing
        ) as other:
            await settle()
            mine = [c for c, s in (("stays", 0), ("moves", 1)) if s not in other.owned()]
            assert len(mine) == 1
            gone = ({"stays", "moves"} - set(mine)).pop()
            partition = {"stays": 1, "moves": 2}

            assert site.bodies(partition[gone], gone)[-1] == Closed(last_seq=1, reason="handed over")
            assert not any(isinstance(b, Closed) for b in site.bodies(partition[mine[0]], mine[0]))
        await settle()
        await site.cameras.show(gone, picture(5000))

        assert site.cameras.opened[gone] == 2
        assert site.cameras.opened[mine[0]] == 1


async def test_a_removed_camera_is_closed():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        await site.keep("cameras", "cam", None)

        assert site.bodies()[-1] == Closed(last_seq=1, reason="removed")


async def test_a_changed_source_is_opened_anew_and_a_changed_position_is_not():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        await site.camera(latitude=52.0, revision=2)
        assert site.cameras.opened["cam"] == 1
        await site.camera(fps=5, revision=3)
        await site.cameras.show("cam", picture(1000))

        assert site.cameras.opened["cam"] == 2
        assert [b.fps for b in site.bodies() if isinstance(b, Opened)] == [None, 5]


async def test_a_camera_without_a_placement_waits_and_says_so_once(caplog):
    async with running() as site:
        await site.keep("cameras", "cam", Camera(id="cam", source="x", shard=0, capture_shard=0, revision=1))
        await site.keep("scenes", "cam", SCENE)
        assert site.cameras.opened["cam"] == 0
        await site.place("cam", 3)

        assert site.cameras.opened["cam"] == 1
    assert len([r for r in caplog.records if "no placement" in r.getMessage()]) == 1


async def test_an_entry_that_cannot_be_read_leaves_what_was_known(caplog):
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(0))
        await site.keep("cameras", "cam", {"nonsense": 1})
        await site.cameras.show("cam", picture(100))

        assert site.kinds().count("Frame") == 2
    assert any("the entry of cam in cameras" in r.getMessage() for r in caplog.records)


async def test_the_metrics_tell_frames_bytes_age_and_state():
    async with running() as site:
        await site.camera()
        await site.cameras.show("cam", picture(site.clock.now_ms() - 250, size=40))
        await site.clock.push(0.1)

        assert site.meter.counts["frames", ("camera", "cam")] == 1
        assert site.meter.counts["bytes", ("camera", "cam")] == 40
        assert site.meter.times == [("age", 0.25)]
        assert site.meter.gauges["state", ("camera", "cam"), ("state", "live")] == 1
        assert site.meter.gauges["backlog_bytes",] == site.meter.gauges["backlog_pictures",] == 0
    assert not [key for key in site.meter.gauges if key[0] == "state"]
