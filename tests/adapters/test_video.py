import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg
from av.video.reformatter import Interpolation

from pipeline.adapters.video import VideoSource, probe
from pipeline.adapters.video.pictures import picture_size
from pipeline.core.model import Camera, Clock, Size
from pipeline.errors import Fatal, Retry
from tests.system.rtsp import serving, why_not

SECRET = "s3cret-Passw0rd"
NOISE = np.random.default_rng(1).integers(0, 256, (640, 640, 3), np.uint8)  # a JPEG of it is large


def camera(source, **more):
    wanted = {"pace": "fast", "shard": 0, "capture_shard": 0, "revision": 1} | more
    return Camera(id="cam", source=str(source), **wanted)


def video_source(**more):
    return VideoSource(resolve=lambda text: text, **({"connect_s": 3, "stall_s": 2} | more))


async def see(cam, most=None, **more):
    """The pictures of one connection, at most so many."""
    out = []
    async with aclosing(video_source(**more).pictures(cam)) as pictures:
        async for picture in pictures:
            out.append(picture)
            if len(out) == most:
                break
    return out


def film(path, *, frames=25, fps=25, size=(64, 48), codec="mjpeg", pts=None, pix_fmt="yuvj420p", paint=None):
    """A made video; pts(n) gives the timestamp of frame n in frames."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for n in range(frames):
            image = np.full((size[1], size[0], 3), n * 7 % 256, np.uint8)
            if paint is not None:
                paint(image)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n if pts is None else pts(n)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


async def test_a_films_comment_is_handed_on_but_not_without_end(tmp_path):
    for name, comment, told in (
        ("a.mp4", "made by hand", "made by hand"),
        ("b.mkv", "x" * 5000, "x" * 300),
        ("c.avi", "", ""),
    ):
        with av.open(str(tmp_path / name), "w") as out:
            out.metadata["comment"] = comment
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for n in range(3):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts = n
                out.mux(stream.encode(frame))
            out.mux(stream.encode())

        assert (await probe(str(tmp_path / name))).comment == told


def spacing(pictures):
    return [b.captured_ms - a.captured_ms for a, b in pairwise(pictures)]


# --- files --------------------------------------------------------------------------------------


@pytest.mark.footage
async def test_a_film_gives_every_frame_from_its_first_with_its_own_time(footage):
    cam = camera(footage / "videos/highway_nl_1280x720.mp4", start="2026-05-01T07:30:00", time_zone="Europe/Amsterdam")

    pictures = await see(cam)

    assert len(pictures) == 335
    assert pictures[0].captured_ms == 1_777_613_400_000
    assert set(spacing(pictures)) == {33, 34}
    assert {(p.clock, p.size, p.source_size) for p in pictures} == {(Clock.FILE, Size(640, 360), Size(1280, 720))}
    assert not any(p.fresh or p.restarts for p in pictures)


@pytest.mark.footage
async def test_a_film_is_thinned_by_time(footage):
    pictures = await see(camera(footage / "videos/suburban_road_640x352.mp4", fps=8))

    assert abs(len(pictures) - 37.7 * 8) <= 2
    assert set(spacing(pictures)) <= {83, 84, 124, 125, 126, 166, 167}  # the film itself lacks a frame now and then


@pytest.mark.footage
async def test_a_picture_looks_as_the_frame_it_was_made_of(footage):
    path = footage / "videos/suburban_road_640x352.mp4"
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24", interpolation=exact).to_ndarray().astype(int)

    (picture,) = await see(camera(path), 1)

    off = simplejpeg.decode_jpeg(picture.body.jpeg).astype(int) - frame
    assert np.abs(off).mean() < 4
    assert np.abs(off.mean(axis=(0, 1))).max() < 1  # no colour is shifted


@pytest.mark.footage
async def test_a_truncated_film_gives_what_decodes_and_says_how_much_is_missing(footage, caplog):
    pictures = await see(camera(footage / "broken/truncated_declares317_decodes302.mp4"))

    assert len(pictures) == 302
    assert "declares 317 frames, 302 could be decoded" in caplog.text


@pytest.mark.footage
async def test_the_film_that_aborts_opencv_harms_nobody(footage):
    pictures = await see(camera(footage / "broken/raw_48x48_crashes_opencv.avi"))

    assert len(pictures) == 51
    assert {p.size for p in pictures} == {Size(48, 48)}


@pytest.mark.footage
async def test_probing_tells_what_a_film_says_of_itself(footage):
    found = await probe(str(footage / "broken/truncated_declares317_decodes302.mp4"))

    assert (found.size, found.fps, found.declared_frames) == (Size(768, 432), 12.5, 317)
    assert found.duration_s == pytest.approx(24.17, abs=0.01)


async def test_a_looped_film_says_where_it_begins_again_and_its_time_goes_on(tmp_path):
    cam = camera(film(tmp_path / "film.avi", frames=10), loop=True)

    pictures = await see(cam, 25)

    assert [n for n, p in enumerate(pictures) if p.restarts] == [10, 20]
    assert set(spacing(pictures)) == {40}


async def test_a_film_with_its_own_pace_takes_as_long_as_it_lasts(tmp_path):
    cam = camera(film(tmp_path / "film.avi", frames=25), pace="live")
    async with aclosing(video_source().pictures(cam)) as pictures:
        arrivals = [time.monotonic() async for _ in pictures]

    assert arrivals[-1] - arrivals[0] >= 24 * 0.04 - 0.01


async def test_a_hole_in_a_film_begins_a_fresh_epoch_and_keeps_its_true_time(tmp_path):
    path = film(tmp_path / "film.mkv", frames=10, pts=lambda n: n if n < 5 else n + 25 * 30)

    pictures = await see(camera(path))

    assert [n for n, p in enumerate(pictures) if p.fresh] == [5]
    assert pictures[5].captured_ms - pictures[4].captured_ms == pytest.approx(30_040, abs=1)


async def test_a_film_whose_frames_stand_alone_is_not_decoded_where_it_is_not_wanted(tmp_path):
    """Every second packet is made worthless; those are the ones nobody wants."""
    path = film(tmp_path / "film.avi", frames=50)
    data = bytearray(path.read_bytes())
    starts = [n for n in range(len(data)) if data[n : n + 4] == b"00dc" and data[n + 8 : n + 10] == b"\xff\xd8"]
    assert len(starts) == 50
    for start in starts[1::2]:
        data[start + 10 : start + 60] = bytes(50)
    path.write_bytes(data)

    assert len(await see(camera(path, fps=12.5))) == 25


async def test_a_turned_film_is_sent_upright(tmp_path):
    def paint(image):
        image[:] = 0
        image[:, : image.shape[1] // 4] = 255  # a bright left edge

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        stream.set_display_rotation(90)
        for n in range(3):
            image = np.zeros((48, 96, 3), np.uint8)
            paint(image)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n
            out.mux(stream.encode(frame))
        out.mux(stream.encode())

    (picture,) = await see(camera(path), 1)

    upright = simplejpeg.decode_jpeg(picture.body.jpeg, colorspace="GRAY")[..., 0]
    assert (picture.size, picture.source_size) == (Size(48, 96), Size(48, 96))
    assert upright[-12:].mean() > 200  # turned counter-clockwise, left is down
    assert upright[:72].mean() < 60


@pytest.mark.parametrize(
    ("source", "width", "sent"),
    [
        ((1280, 720), 640, (640, 360)),
        ((640, 352), 640, (640, 352)),
        ((320, 240), 640, (320, 240)),
        ((1920, 1080), 640, (640, 360)),
        ((853, 481), 640, (640, 360)),
        ((353, 289), 640, (352, 288)),
        ((1, 1), 640, (2, 2)),
    ],
)
def test_a_picture_is_never_blown_up_and_has_even_sides(source, width, sent):
    assert picture_size(Size(*source), width) == Size(*sent)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.mp4", None, "no such file"),
        ("", None, "it is a directory"),
        ("notes.mp4", b"no video at all, only words " * 50, "it is not a video"),
        ("empty.mp4", b"", "it is not a video"),
    ],
)
async def test_what_is_no_video_ends_in_one_clear_error_that_names_it(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Fatal, match=words) as caught:
        await see(camera(path))

    assert str(path) in str(caught.value)
    with pytest.raises(Fatal, match=words):
        await probe(str(path))


async def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = film(tmp_path / "film.avi", frames=3)
    path.chmod(0)
    everybody = os.geteuid() == 0
    if everybody:
        os.seteuid(65534)  # the superuser may read everything
    try:
        with pytest.raises(Fatal, match="not allowed to read it"):
            await see(camera(path))
    finally:
        if everybody:
            os.seteuid(0)


async def test_a_sound_file_holds_no_video(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))

    with pytest.raises(Fatal, match="no video stream"):
        await see(camera(path))


async def test_a_film_without_one_good_frame_is_refused(tmp_path):
    path = film(tmp_path / "film.avi", frames=5)
    data = path.read_bytes()
    begin, end = data.index(b"movi"), data.index(b"idx1")
    path.write_bytes(data[:begin] + data[begin:end].replace(b"\xff", b"\x00") + data[end:])

    with pytest.raises(Fatal, match="not one picture"):
        await see(camera(path))


async def test_a_crash_of_the_decoder_is_told_and_takes_nobody_along(tmp_path):
    path = film(tmp_path / "film.avi", frames=100)

    async def crash():
        async with aclosing(video_source().pictures(camera(path, loop=True))) as pictures:
            async for _ in pictures:
                for child in children():
                    os.kill(child, signal.SIGSEGV)

    with pytest.raises(Fatal, match="its decoder crashed \\(SIGSEGV\\)") as caught:
        await crash()

    assert str(path) in str(caught.value)


async def test_closing_the_iterator_ends_the_decoder(tmp_path):
    await see(camera(film(tmp_path / "film.avi", frames=5), loop=True), 8)

    assert children() == []


async def test_closing_does_not_wait_for_a_decoder_that_is_far_ahead(tmp_path):
    """Megabytes wait unread by then, in pipes that asyncio stopped to read."""
    path = film(tmp_path / "film.avi", frames=40, size=(640, 640), paint=lambda image: image.__setitem__(..., NOISE))

    async with asyncio.timeout(30), aclosing(video_source().pictures(camera(path, loop=True))) as pictures:
        await anext(pictures)
        await asyncio.sleep(2)

    assert children() == []


def test_the_decoder_has_ended_before_the_loop_does_though_its_reader_is_cancelled_again_and_again(tmp_path, caplog):
    path = film(tmp_path / "film.avi", frames=5)

    async def watch(watching):
        async with aclosing(video_source().pictures(camera(path, loop=True))) as pictures:
            async for _ in pictures:
                watching.set()

    async def give_up():
        watching = asyncio.Event()
        task = asyncio.create_task(watch(watching))
        await watching.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)

    asyncio.run(give_up())
    gc.collect()  # what asyncio left open would complain now

    assert children() == []
    assert caplog.messages == []


async def test_the_decoder_knows_no_secrets_and_leaves_no_core(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMERA_PASSWORD", SECRET)
    cam = camera(film(tmp_path / "film.avi", frames=5), loop=True)

    async with aclosing(video_source().pictures(cam)) as pictures:
        await anext(pictures)
        (child,) = children()
        environment, limits = told_by_the_system(child, "environ"), told_by_the_system(child, "limits")

    assert SECRET not in environment
    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]
    assert not [line for line in limits.splitlines() if line.startswith("Max address space") and "unlimited" in line]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"start": "yesterday"}, "not understood"),
        ({"start": "2026-05-01T07:30:00", "time_zone": "Mars/Olympus"}, "not understood"),
    ],
)
async def test_a_start_that_is_no_time_is_refused(tmp_path, more, words):
    with pytest.raises(Fatal, match=words):
        await see(camera(film(tmp_path / "film.avi", frames=3), **more))


async def test_a_start_with_its_own_offset_needs_no_time_zone(tmp_path):
    cam = camera(film(tmp_path / "film.avi", frames=3), start="2026-05-01T07:30:00+02:00")

    assert (await see(cam))[0].captured_ms == 1_777_613_400_000


async def test_an_unknown_scheme_is_refused_in_words_without_its_credentials():
    with pytest.raises(Fatal, match="gopher:// is not known") as caught:
        await see(camera(f"gopher://u:{SECRET}@host/x"))

    assert SECRET not in str(caught.value)


def told_by_the_system(process, what):
    return Path(f"/proc/{process}/{what}").read_text()


def children():
    """Processes that we started and that still run."""
    me, found = os.getpid(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(stat[1]) == me and stat[0] != "Z" and "adapters.video" in command:
                found.append(int(entry.name))
    return found


# --- streams ------------------------------------------------------------------------------------

HIGHWAY, SUBURBAN = "videos/highway_nl_1280x720.mp4", "videos/suburban_road_640x352.mp4"


@pytest.fixture(scope="module")
def films():
    """The server's films; `footage` lives for one test only."""
    if not (named := os.environ.get("GANTRY_TEST_DATA")):
        pytest.skip("real footage is asked for: set GANTRY_TEST_DATA to its folder")
    if (why := why_not()) is not None:
        pytest.skip(why)
    return {"highway": Path(named) / HIGHWAY, "suburban": Path(named) / SUBURBAN}


@pytest.fixture
def server(films):
    with serving(films) as server:
        yield server


@pytest.fixture
def guarded(films):
    with serving(films, user="viewer", password=SECRET, digest=True) as server:
        yield server


@pytest.mark.rtsp
@pytest.mark.footage
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_stream_is_seen_from_its_first_frame_on(server, films, transport):
    began = time.time() * 1000
    pictures = await see(camera(server.url("suburban"), transport=transport), 48)
    frames = await see(camera(films["suburban"]), 48)

    assert [p.body for p in pictures] == [p.body for p in frames]
    assert all(abs(a - b) <= 1 for a, b in zip(spacing(pictures), spacing(frames), strict=True))
    assert began - 500 < pictures[0].captured_ms < began + 3000
    assert {p.clock for p in pictures} <= {Clock.RTCP, Clock.PTS}
    assert len({p.clock for p in pictures}) == 1
    assert not any(p.fresh for p in pictures)


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_stream_with_reordered_frames_keeps_their_order_and_its_own_times(server):
    pictures = await see(camera(server.url("highway")), 60)

    assert set(spacing(pictures)) <= {33, 34}


@pytest.mark.rtsp
@pytest.mark.footage
async def test_the_sender_tells_the_time_if_we_wait_for_it(server):
    """Its first report comes within some seconds."""
    began = time.time() * 1000
    pictures = await see(camera(server.url("suburban"), fps=5), 5, hold_s=8)

    assert {p.clock for p in pictures} == {Clock.RTCP}
    assert began - 500 < pictures[0].captured_ms < began + 3000
    assert set(spacing(pictures)) <= set(range(160, 260))


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_stream_is_thinned_by_time(server):
    pictures = await see(camera(server.url("suburban"), fps=6), 24)

    assert sum(spacing(pictures)) == pytest.approx(23 * 1000 / 6, abs=45)


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_stream_that_stops_is_given_up_after_the_stall_time(server):
    seen = []

    async def watch():
        async with aclosing(video_source(stall_s=1.5).pictures(camera(server.url("suburban")))) as pictures:
            async for picture in pictures:
                seen.append(picture)
                if len(seen) == 10:
                    server.freeze()

    with pytest.raises(Retry, match=r"no picture for 1\.5 s"):
        await watch()

    assert len(seen) >= 10


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_short_silence_is_no_end(server):
    seen = []
    async with aclosing(video_source(stall_s=10).pictures(camera(server.url("suburban")))) as pictures:
        async for picture in pictures:
            seen.append(picture)
            if len(seen) == 10:
                server.freeze()
                asyncio.get_running_loop().call_later(2.5, server.thaw)
            if len(seen) == 100:
                break

    assert max(spacing(seen)) <= 84


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_camera_that_hangs_up_may_be_called_again(server):
    async def watch():
        async with aclosing(video_source().pictures(camera(server.url("suburban")))) as pictures:
            async for _ in pictures:
                server.drop()

    with pytest.raises(Retry, match=r"ended the stream|hung up|broke"):
        await watch()
    assert len(await see(camera(server.url("suburban")), 3)) == 3


@pytest.mark.rtsp
@pytest.mark.footage
async def test_the_right_password_is_let_in(guarded):
    assert len(await see(camera(guarded.url("suburban", f"viewer:{SECRET}")), 2)) == 2


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_wrong_password_is_told_without_telling_it(guarded, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Retry, match="wrong user name or password") as caught:
        await see(camera(guarded.url("suburban", "viewer:wr0ng-Passw0rd")))

    error: BaseException | None = caught.value
    while error is not None:
        assert "wr0ng" not in str(error)
        error = error.__cause__ or error.__context__
    out, err = capfd.readouterr()
    assert "wr0ng" not in out + err + caplog.text


@pytest.mark.rtsp
@pytest.mark.footage
async def test_a_stream_that_does_not_exist_is_told(server):
    with pytest.raises(Retry, match="no such stream"):
        await see(camera(server.url("nowhere")))


async def test_a_refused_connection_is_told_without_credentials():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(Retry, match="connection refused") as caught:
        await see(camera(f"rtsp://u:{SECRET}@127.0.0.1:{port}/x?token={SECRET}"))

    assert SECRET not in str(caught.value)
    assert f"127.0.0.1:{port}" in str(caught.value)


async def test_a_host_that_never_answers_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Retry, match="no answer within 1 s"):
            await see(camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"), connect_s=1)

    assert time.monotonic() - began < 10


async def test_closing_does_not_wait_for_a_host_that_never_answers_and_its_thread_ends_soon():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = video_source(connect_s=1)
        pictures = source.pictures(camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"))
        waiting = asyncio.ensure_future(anext(pictures))
        await asyncio.sleep(0.2)
        assert [t for t in threading.enumerate() if t.name == "rtsp cam"]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pictures.aclose()
        for _ in range(100):
            if not [t for t in threading.enumerate() if t.name == "rtsp cam"]:
                return
            await asyncio.sleep(0.1)
    pytest.fail("the thread still runs")


@pytest.mark.rtsp
@pytest.mark.footage
async def test_closing_the_iterator_of_a_live_stream_ends_its_thread(server):
    await see(camera(server.url("suburban")), 2)
    server.freeze()
    await asyncio.sleep(2.5)

    assert not [t for t in threading.enumerate() if t.name == "rtsp cam"]


async def test_a_source_without_a_host_is_refused():
    with pytest.raises(Fatal, match="no URL with a host"):
        await see(camera("rtsp:///stream"))


async def test_an_unknown_transport_is_refused():
    with pytest.raises(Fatal, match="use tcp or udp"):
        await see(camera("rtsp://host/x", transport="pigeon"))
