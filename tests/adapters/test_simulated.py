"""Simulated cameras as sources: the promises of `ports.Source`, of files where they are played like one, and their own."""

import asyncio
import itertools
import threading
from contextlib import aclosing
from urllib.parse import quote

import msgspec
import numpy as np
import psutil
import pytest
import simplejpeg

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.simulated import SimulatedSource
from pipeline.core.model import Boxes, Camera, Clock
from pipeline.errors import Fatal
from pipeline.simulate.journeys import Recording, recorded, write
from pipeline.simulate.scenarios import scenario
from workers.cameras import Cameras

JUNCTION = "sim+detections://junction?seed=1&fps=5"
LONG_MS = 300_000


class Hasty:
    """`ports.Clockwork` on which waiting takes no time, but is remembered."""

    def __init__(self):
        self.now, self.waits = 50.0, []

    def now_ms(self):
        return 1_700_000_000_000 + round(self.now * 1000)

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def camera(source=JUNCTION, **more):
    return Camera(**{"id": "c", "shard": 0, "capture_shard": 0, "revision": 1, "pace": "fast", "source": source} | more)


async def see(cam, most=None, *, clock=None):
    seen = []
    async with aclosing(SimulatedSource(clock or Hasty()).pictures(cam)) as pictures:
        async for picture in pictures:
            seen.append(picture)
            if len(seen) == most:
                break
    return seen


def media(pictures):
    """Their times since the first one."""
    return [p.captured_ms - pictures[0].captured_ms for p in pictures]


async def test_a_pass_shows_the_whole_recording_at_the_cameras_own_rate():
    pictures = await see(camera(start="2026-05-01T08:00:00", time_zone="Europe/Amsterdam"))
    size = scenario("junction").size

    assert len(pictures) == LONG_MS // 200
    assert media(pictures) == list(range(0, LONG_MS, 200))
    assert pictures[0].captured_ms == 1_777_615_200_000
    assert {(p.clock, p.size, p.source_size, p.restarts, p.fresh) for p in pictures} == {
        (Clock.FILE, size, size, False, False)
    }
    assert all(isinstance(p.body, Boxes) for p in pictures)
    assert sum(len(p.body) for p in pictures) > len(pictures)
    assert all(p.body.score == sorted(p.body.score, reverse=True) for p in pictures)
    assert len({p.body.model for p in pictures}) == 1
    assert recorded("junction", 1).duration_ms == LONG_MS


async def test_without_a_start_time_counts_from_when_it_was_opened():
    clock = Hasty()

    assert (await see(camera(), 1, clock=clock))[0].captured_ms == clock.now_ms()


async def test_the_same_address_shows_the_same_boxes_and_another_seed_or_noise_shows_others():
    def shown(pictures):
        return [(p.captured_ms, p.body) for p in pictures]

    start = "2026-05-01T08:00:00"
    first, again, seed, noise, none = [
        shown(await see(camera(f"sim+detections://junction?fps=5&{more}", start=start), 100))
        for more in ("seed=1", "noise=yolov8n&seed=1", "seed=2", "seed=1&noise=high", "seed=1&noise=none")
    ]

    assert first == again
    assert first not in (seed, noise, none)
    assert len({body.model for _, body in (first[0], noise[0], none[0])}) == 3


async def test_a_camera_is_thinned_by_time_and_what_is_left_is_what_it_would_have_shown():
    start = "2026-05-01T08:00:00"
    every = await see(camera(start=start), 200)
    some = await see(camera(start=start, fps=1), 40)

    assert media(some) == list(range(0, 40_000, 1000))
    assert some == every[::5]


async def test_wanting_more_pictures_than_the_camera_takes_makes_none_up():
    assert media(await see(camera(fps=25), 50)) == list(range(0, 10_000, 200))


async def test_a_rate_that_does_not_divide_a_second_keeps_its_rhythm():
    steps = [b - a for a, b in itertools.pairwise(media(await see(camera("sim+detections://junction?fps=7"), 71)))]

    assert set(steps) == {142, 143}
    assert sum(steps) == 10_000


async def test_a_looped_camera_says_where_it_begins_again_and_its_time_goes_on():
    pictures = await see(camera("sim+detections://junction?seed=1&fps=1", loop=True), 650)

    assert media(pictures) == [1000 * n for n in range(650)]
    assert [n for n, p in enumerate(pictures) if p.restarts] == [300, 600]
    assert [p.body for p in pictures[300:600]] == [p.body for p in pictures[:300]]


async def test_a_live_camera_takes_as_long_as_its_recording_and_a_fast_one_waits_for_nothing():
    live, fast = Hasty(), Hasty()
    await see(camera(pace="live"), 51, clock=live)
    await see(camera(pace="fast"), 51, clock=fast)

    assert live.now == pytest.approx(50 + 10)
    assert fast.waits == []


async def test_a_recording_of_ones_own_is_played_as_those_that_come_with_gantry(tmp_path):
    file = tmp_path / "my junction.traj"
    file.write_bytes(write(recorded("junction", 1)))
    own = camera(f"sim+detections://junction?fps=5&seed=1&recording={quote(str(file))}", start="2026-05-01T08:00:00")

    assert await see(own, 50) == await see(camera(start="2026-05-01T08:00:00"), 50)
    other = msgspec.structs.replace(own, source=own.source.replace("seed=1", "seed=2"))
    assert await see(other, 50) != await see(own, 50), "the seed is that of the noise"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.traj", None, "missing.traj: No such file"),
        ("film.traj", b"RIFF", "film.traj: this is no recording"),
        ("street.traj", "street", "street.traj: it is a recording of street, not of junction"),
        ("%00.traj", None, "null byte"),
        ("mine.traj&traffic=8", "junction", "mine.traj: its traffic has seed 0, not 8, as traffic= says"),
    ],
)
async def test_a_recording_that_is_none_of_this_place_is_refused_in_words(tmp_path, name, content, words):
    if content is not None:
        bytes_ = content if isinstance(content, bytes) else write(recorded(content, 0))
        (tmp_path / name.partition("&")[0]).write_bytes(bytes_)

    with pytest.raises(Fatal) as caught:
        await see(camera(f"sim+detections://junction?recording={tmp_path}/{name}"))
    assert words in str(caught.value)


async def test_closing_the_iterator_leaves_no_task_and_no_busy_thread():
    source = SimulatedSource(Hasty())
    async with aclosing(source.pictures(camera())) as pictures:
        async for _ in pictures:
            break

    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not [t for t in threading.enumerate() if t.name.startswith("asyncio_")]


async def test_a_camera_that_is_made_does_not_hold_up_another():
    """Both are read at once, and neither waits for the other's pass."""
    slow = asyncio.create_task(see(camera("sim+detections://junction?seed=1&fps=60"), 2000))
    await see(camera("sim+detections://junction?seed=1&fps=1"), 30)

    assert not slow.done()
    assert len(await slow) == 2000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"source": "sim+detections://junctoin"}, "names 'junctoin', which is no scenario (did you mean junction?)"),
        ({"source": "sim+detections://junction?seed=99"}, "has no recording with seed 99"),
        ({"source": "sim+detections://junction?fps=0"}, "needs a number from 1 to 60 for fps, got '0'"),
        ({"start": "soon"}, "start 'soon' in time zone 'UTC' is not understood"),
    ],
)
async def test_what_is_no_camera_is_refused_in_words(more, words):
    with pytest.raises(Fatal) as caught:
        await see(camera(**more))

    assert words in str(caught.value)


async def test_sources_are_told_apart_by_what_they_begin_with():
    class Named:
        def __init__(self, name):
            self.name = name

        def pictures(self, cam):
            return f"{self.name}: {cam.id}"

    source = Cameras(filmed=Named("filmed"), simulated=Named("simulated"))

    for name in ("sim+detections://junction", "SIM+detections://nowhere", "sim://junction"):
        assert source.pictures(camera(name)) == "simulated: c"
    for name in ("rtsp://h/1", "road.mp4", "sim.mp4", "file:///sim+detections", "${env:SOURCE}"):
        assert source.pictures(camera(name)) == "filmed: c"


# --- painted ones ---------------------------------------------------------------------------------

PAINTED = "sim://motorway?seed=1&fps=5"


async def test_a_painted_camera_shows_jpegs_of_the_wanted_width_at_exact_times():
    seen = await see(camera(PAINTED), 4)

    assert media(seen) == [0, 200, 400, 600]
    assert {p.clock for p in seen} == {Clock.FILE}
    for picture in seen:
        pixels = simplejpeg.decode_jpeg(picture.body.jpeg)
        assert (pixels.shape[1], pixels.shape[0]) == (640, 360) == tuple(msgspec.structs.astuple(picture.size))
        assert str(picture.source_size) == "1280x720"


async def test_a_painted_camera_shows_what_the_painter_paints():
    (first,) = await see(camera(PAINTED, width=1280), 1)
    wanted = Painter(recorded("motorway", 1), scenario("motorway"), Looks(seed=1)).picture(0)

    assert np.abs(simplejpeg.decode_jpeg(first.body.jpeg, "BGR").astype(float) - wanted).mean() < 4


async def test_a_painted_camera_is_thinned_by_time():
    assert media(await see(camera(PAINTED, fps=1), 3)) == [0, 1000, 2000]


async def test_a_painted_camera_that_loops_restarts_and_its_time_goes_on(tmp_path):
    whole = recorded("motorway", 1)
    (tmp_path / "short.traj").write_bytes(write(Recording("motorway", 41, whole.step_ms, 400, whole.journeys[:3])))
    seen = await see(camera(f"sim://motorway?fps=5&recording={quote(str(tmp_path / 'short.traj'))}", loop=True), 5)

    assert media(seen) == [0, 200, 400, 600, 800]
    assert [p.restarts for p in seen] == [False, False, True, False, True]


async def test_a_painted_camera_keeps_its_own_pace():
    clock = Hasty()
    await see(camera(PAINTED, pace="live"), 4, clock=clock)

    assert sum(clock.waits) == pytest.approx(0.6, abs=0.01)


async def test_leaving_a_painted_camera_ends_its_painter():
    before = {child.pid for child in psutil.Process().children()}
    async with aclosing(SimulatedSource(Hasty()).pictures(camera(PAINTED))) as pictures:
        await anext(pictures)
        assert {child.pid for child in psutil.Process().children()} - before

    assert not {child.pid for child in psutil.Process().children()} - before


async def test_a_painted_camera_without_its_recording_is_told_in_one_line():
    with pytest.raises(Fatal, match=r"^sim://motorway\?seed=99: has no recording with seed 99"):
        await see(camera("sim://motorway?seed=99"), 1)
