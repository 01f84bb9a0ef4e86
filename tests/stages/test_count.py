import asyncio
from contextlib import aclosing

import msgspec
import pytest

from pipeline.core.model import Boxes, Camera, Clock, Crossing, Detections, Flow, Frame, Opened, Record, Size
from pipeline.errors import Fatal
from pipeline.ports import Picture
from pipeline.stages.count import Counted, CountPolicy, Progress, count
from pipeline.stages.track import TrackPolicy, track
from pipeline.wire.codec import decode_event, decode_flow, encode_record
from tests.core.road import POLICY, SCENE, SIZE, Log, Vehicle, look
from tests.fakes.log import Broker
from tests.fakes.meter import Meter
from tests.fakes.model import Model
from workers.process import WallClock

STEP_MS = 200
BREAKS = Frame(b"no picture at all")


def shot(vehicles, at_ms, **more):
    """One picture; what the model will see is written in it."""
    seen = {"body": Frame(msgspec.json.encode(look(vehicles, at_ms))), "captured_ms": at_ms, "source_size": SIZE} | more
    return Picture(clock=Clock.FILE, size=SIZE, **seen)


def simulated(picture):
    """The same picture without pixels."""
    seen = msgspec.json.decode(picture.body.jpeg, type=Detections)
    return msgspec.structs.replace(picture, body=Boxes(**msgspec.structs.asdict(seen)))


def film(vehicles, times, base_ms=0):
    """Pictures whose own time begins at 0; base_ms is what the road's clock said then."""
    return [msgspec.structs.replace(shot(vehicles, base_ms + at), captured_ms=at) for at in times]


class Films:
    """`ports.Source` over lists of pictures; an exception among them is raised in its turn."""

    def __init__(self, **films):
        self.films, self.open = films, []

    async def pictures(self, camera):
        self.open.append(camera.source)
        try:
            for picture in self.films[camera.source]:
                await asyncio.sleep(0)
                if isinstance(picture, Exception):
                    raise picture
                yield picture
        finally:
            self.open.remove(camera.source)


def cameras(*files):
    return [Camera(id="c", source=file, shard=0, capture_shard=0, revision=0, pace="fast") for file in files]


def surveying(source, *files, model=None, scene=SCENE, policy=None):
    policy = policy or CountPolicy(scene=POLICY, batch=3, batches=3)
    return count(cameras(*files or source.films), scene, source=source, model=model or Model(), policy=policy)


async def survey(source, *files, **more):
    return [thing async for thing in surveying(source, *files, **more)]


def counted(things):
    return [t for t in things if isinstance(t, Counted)]


def only_this_task():
    return asyncio.all_tasks() == {asyncio.current_task()}


CARS = [Vehicle(x=0.3, y=0.2, vy=0.2), Vehicle(x=0.6, y=0.1, vy=0.15, from_ms=600)]


async def test_every_vehicle_that_crosses_is_counted_once_with_its_time():
    found = counted(await survey(Films(a=film(CARS, range(0, 5000, STEP_MS)))))

    assert [(c.event.line, c.event.direction_name, c.file) for c in found] == [("stop", "southbound", "a")] * 2
    assert [c.t_seconds for c in found] == pytest.approx([1.5, 0.6 + 0.4 / 0.15], abs=0.02)
    assert [c.event.captured_ms for c in found] == [round(c.t_seconds * 1000) for c in found]


async def test_files_are_one_survey_time_goes_on_and_a_vehicle_over_the_seam_counts_once():
    at = 1600  # the first car is past the line, the second is on its way to it
    first, second = film(CARS, range(0, at, STEP_MS)), film(CARS, range(0, 3400, STEP_MS), base_ms=at)
    split = counted(await survey(Films(a=first, b=second)))
    whole = counted(await survey(Films(a=film(CARS, range(0, at + 3400, STEP_MS)))))

    assert [c.event.captured_ms for c in split] == [c.event.captured_ms for c in whole]
    assert [(c.file, c.t_seconds) for c in split] == [
        ("a", whole[0].t_seconds), ("b", round(whole[1].t_seconds - at / 1000, 3)),
    ]  # fmt: skip
    assert len({c.event.id for c in split}) == 2


async def test_a_vehicle_that_crosses_at_the_seam_is_counted_once():
    """Its last picture before the line is the first file's last, its first one beyond is the second file's first."""
    found = counted(
        await survey(
            Films(a=film(CARS[:1], range(0, 1500, STEP_MS)), b=film(CARS[:1], range(0, 2000, STEP_MS), base_ms=1600))
        )
    )

    assert [c.file for c in found] == ["a"]


async def test_the_second_file_may_begin_at_any_time_of_its_own():
    first = film(CARS, range(0, 1600, STEP_MS))
    second = [
        msgspec.structs.replace(p, captured_ms=p.captured_ms + 77_777)
        for p in film(CARS, range(0, 3400, STEP_MS), 1600)
    ]

    found = counted(await survey(Films(a=first, b=second)))

    assert [(c.file, round(c.t_seconds, 1)) for c in found] == [("a", 1.5), ("b", 1.7)]
    assert [c.event.captured_ms for c in found] == [1500, 3267]


async def test_a_simulated_camera_is_counted_without_a_model_as_its_pictures_would_be():
    pictures = film(CARS, range(0, 5000, STEP_MS))
    without = [t async for t in count(cameras("a"), SCENE, source=Films(a=map(simulated, pictures)), model=None, policy=CountPolicy(scene=POLICY, batch=3))]  # fmt: skip

    assert len(counted(without)) == 2
    assert counted(without) == counted(await survey(Films(a=pictures)))


async def test_pictures_and_boxes_of_one_batch_keep_their_order():
    """The model is asked for the pictures only, and its answers go back to their places."""
    pictures = film(CARS, range(0, 5000, STEP_MS))
    mixed = [simulated(p) if at % 3 else p for at, p in enumerate(pictures)]
    model = Model()

    assert counted(await survey(Films(a=mixed), model=model)) == counted(await survey(Films(a=pictures)))
    assert sum(model.calls) == len(pictures[::3])


async def test_pictures_without_a_model_are_refused():
    with pytest.raises(Fatal, match="without a model"):
        async for _ in count(cameras("a"), SCENE, source=Films(a=film(CARS, [0])), model=None, policy=CountPolicy()):
            pass


async def test_progress_is_told_after_every_batch_of_each_file():
    things = await survey(
        Films(a=film(CARS, range(0, 1600, STEP_MS)), b=film(CARS, range(0, 800, STEP_MS), base_ms=1600))
    )

    assert [t for t in things if isinstance(t, Progress)] == [
        Progress("a", 3, 0.4), Progress("a", 6, 1.0), Progress("a", 8, 1.4), Progress("b", 3, 0.4), Progress("b", 4, 0.6),
    ]  # fmt: skip


@pytest.mark.parametrize("at", ["at the beginning", "in the middle", "in the second file"])
async def test_a_scene_of_another_shape_is_refused_with_what_where_and_what_to_do(at):
    tall = {"source_size": Size(480, 640)}
    good = film(CARS, range(0, 1600, STEP_MS))
    films = {
        "at the beginning": {"a.mp4": [shot(CARS, 0, **tall)]},
        "in the middle": {"a.mp4": [*good, shot(CARS, 1600, fresh=True, **tall)]},
        "in the second file": {"good.mp4": good, "a.mp4": [shot(CARS, 1600, **tall)]},
    }[at]
    source = Films(**films)

    with pytest.raises(Fatal) as caught:
        await survey(source)

    assert str(caught.value).startswith("a.mp4: its pictures are 480x640 but the scene was drawn on 640x360")
    assert "draw the scene on a picture of this video and set drawn_on" in str(caught.value)
    assert source.open == []
    assert only_this_task()


async def test_a_picture_that_does_not_decode_becomes_a_gap_and_counting_goes_on():
    pictures = film(CARS, range(0, 5000, STEP_MS))
    pictures[20] = msgspec.structs.replace(pictures[20], body=BREAKS)  # both cars have crossed
    things = await survey(Films(a=pictures))
    whole = await survey(Films(a=film(CARS, range(0, 5000, STEP_MS))))

    assert [c.t_seconds for c in counted(things)] == [c.t_seconds for c in counted(whole)]
    lost = sum(f.coverage * f.window_ms for f in whole if isinstance(f, Flow)) - sum(
        f.coverage * f.window_ms for f in things if isinstance(f, Flow)
    )
    assert lost == pytest.approx(2 * STEP_MS, abs=10), "what came right before and after a gap was not seen"


async def test_a_film_of_nothing_but_broken_pictures_counts_nothing_and_covers_nothing():
    pictures = [msgspec.structs.replace(p, body=BREAKS) for p in film(CARS, range(0, 5000, STEP_MS))]

    things = await survey(Films(a=pictures))

    assert counted(things) == []
    assert all(f.coverage == 0 for f in things if isinstance(f, Flow))


async def test_a_file_that_breaks_in_the_middle_raises_and_leaves_no_task_behind():
    """Batches are under way and one is half full when it breaks."""
    source = Films(a=[*film(CARS, range(0, 1600, STEP_MS)), Fatal("a: its decoder crashed")])
    model = Model()
    model.gate.clear()

    with pytest.raises(Fatal, match="a: its decoder crashed"):
        await survey(source, model=model)

    assert source.open == []
    assert only_this_task()


async def test_a_model_that_breaks_ends_the_survey_and_leaves_no_task_behind():
    source = Films(a=film(CARS, range(0, 9000, STEP_MS)))
    model = Model()
    model.breaks = Fatal("the accelerator is gone")

    with pytest.raises(Fatal, match="the accelerator is gone"):
        await survey(source, model=model)

    assert source.open == []
    assert only_this_task()


async def test_a_survey_that_is_closed_in_the_middle_closes_its_file_and_leaves_no_task_behind():
    source = Films(a=film(CARS, range(0, 9000, STEP_MS)))

    async with aclosing(surveying(source)) as things:
        assert await anext(things) == Progress("a", 3, 0.4)
        assert source.open == ["a"]

    assert source.open == []
    assert only_this_task()


async def test_no_more_model_calls_than_wanted_are_under_way_and_all_are_full_but_the_last():
    class Counting(Model):
        now = most = 0

        async def detect(self, jpegs):
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                return await super().detect(jpegs)
            finally:
                self.now -= 1

    model = Counting()
    await survey(Films(a=film(CARS, range(0, 5000, STEP_MS))), model=model)

    assert model.most <= 3
    assert model.calls == [3] * 8 + [1]


async def test_a_film_whose_timestamps_jump_begins_a_new_epoch_and_vehicles_are_followed_on():
    """As capture does it, so that a file gives the same events as a camera that shows it."""
    pictures = film(CARS, range(0, 5000, STEP_MS))
    pictures[4] = msgspec.structs.replace(pictures[4], fresh=True)

    fresh, plain = (
        counted(await survey(Films(a=pictures))),
        counted(await survey(Films(a=film(CARS, range(0, 5000, STEP_MS))))),
    )

    assert [c.event.epoch for c in fresh] == [1, 1]
    assert [(c.t_seconds, c.event.track) for c in fresh] == [(c.t_seconds, c.event.track) for c in plain]


async def test_what_is_counted_is_what_track_makes_of_the_same_records():
    times = range(0, 62_000, STEP_MS)
    cars = [Vehicle(x=0.2 + 0.1 * (n % 6), y=0.1, vy=0.2, from_ms=2500 * n) for n in range(20)]
    log = Log(epoch=0, log="file", scene=None)
    log.put(Opened(source_size=SIZE, clock=Clock.FILE), 0)
    log.put(SCENE, 0)
    log.drive(cars, times)

    things = await survey(Films(a=film(cars, times)))
    events, flows = await tracked(log.records)

    assert len(events) == 20
    assert [c.event for c in counted(things)] == events
    complete = [t for t in things if isinstance(t, Flow)][: len(flows)]
    assert flows
    assert complete == flows
    assert sum(c.count for f in things if isinstance(f, Flow) for line in f.lines for c in line.counts) == 20


async def tracked(records: list[Record]):
    """Events and flow of the stage `track`, from a log that holds these records."""
    broker, stop = Broker(), asyncio.Event()
    async with broker.writer() as writer, broker.logs() as logs:
        for record in records:
            out = encode_record(record)
            await writer.send("detections", 0, key=out.key, value=out.value, headers=out.headers)

        def join(on_assigned, on_revoked):
            return broker.group("detections", "track", instance=None, on_assigned=on_assigned, on_revoked=on_revoked)

        running = asyncio.create_task(
            track(
                join=join, writer=writer, logs=logs, meter=Meter(), clock=WallClock(), policy=TrackPolicy(scene=POLICY),
                run="r", stop=stop,
            )
        )  # fmt: skip
        for _ in range(3000):
            if broker.committed("track").get(0) == len(records):
                break
            await asyncio.sleep(0.01)
        stop.set()
        await running
    events = [decode_event(m.headers, m.value) for m in broker.records("events")]
    assert all(isinstance(e, Crossing) for e in events)
    return events, [decode_flow(m.headers, m.value) for m in broker.records("flow")]
