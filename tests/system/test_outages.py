"""A whole gantry while Kafka is not there yet, goes away, or holds what nobody can use."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import av
import httpx
import pytest
import yaml

from pipeline.adapters.kafka import Kafka
from pipeline.core.model import (
    CameraId,
    Clock,
    DeadLetter,
    Detections,
    Frame,
    Gap,
    GapReason,
    Header,
    Opened,
    Record,
    Size,
)
from pipeline.wire.codec import decode_json, encode_json, encode_record
from tests.conftest import local_broker
from tests.fakes.weights import picture
from tests.system.installation import PROCESSES, ROOT, Installation, until
from tests.system.logs import Log, camera_logs, events, faults, lag, raw_logs, replayed
from tests.system.truth import SCENES
from tests.wire.examples import RECORDS, SNAPSHOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]
AWAY_S = 20
LONG_AWAY_S = 30
FOUR_FPS = 15
MIB = 1024 * 1024
AGAIN = 75  # the exit code of a process that asks to be started again
MEND = 78  # and of one that a person must help
SLOW_S = 240  # this machine may be far slower than real time
FPS = {"fast-road": 6, "slow-road": 2}


def cut(source, path, seconds):
    """The first seconds of a video, not encoded again."""
    with av.open(str(source)) as film, av.open(str(path), "w") as out:
        video = film.streams.video[0]
        copy = out.add_stream_from_template(video)
        for packet in film.demux(video):
            if packet.pts is None or packet.pts * video.time_base >= seconds:
                continue
            packet.stream = copy
            out.mux(packet)
    return path


@pytest.fixture(scope="module")
def broker():
    running = local_broker("a test that takes Kafka away")
    yield running
    running.kill()
    shutil.rmtree(running.data, ignore_errors=True)


@pytest.fixture(scope="module")
def house(broker, model, tmp_path_factory):
    """Two looped cameras of real footage; nothing runs yet."""
    if not (named := os.environ.get("GANTRY_TEST_DATA")):
        pytest.skip("real footage is asked for: set GANTRY_TEST_DATA to its folder")
    folder = tmp_path_factory.mktemp("house")
    film = cut(f"{named}/videos/highway_nl_1280x720.mp4", folder / "road.mp4", 6)
    scene = yaml.safe_load((SCENES / "highway_nl_1280x720.yaml").read_text())
    running = Installation(
        folder, broker.servers, "t.", model=model,
        cameras={name: {"source": str(film), "loop": True, "fps": fps} for name, fps in FPS.items()},
        scenes=dict.fromkeys(FPS, scene),
    )  # fmt: skip
    running.prepare()
    running.detections, running.events = Log(running, "detections"), Log(running, "events")
    yield running
    running.close()


@pytest.fixture
def kept_alive(house, broker):
    """All processes run, and detections come."""
    broker.start()
    house.start(*(name for name in PROCESSES if name not in house.processes))
    flowing(house)
    return house


def flowing(house):
    """Wait until more detections of every camera come."""
    before = {name: len(log) for name, log in camera_logs(house.detections).items()}

    def more():
        keep_alive(house)
        now = {name: len(log) for name, log in camera_logs(house.detections).items()}
        return all(now.get(name, 0) > before.get(name, 0) + 5 for name in FPS)

    until(more, seconds=SLOW_S, what="more detections of every camera")


def keep_alive(house):
    """What a supervisor does: one that asks for it is started again; any other end is a fault."""
    for name, process in list(house.processes.items()):
        if process.poll() is not None:
            assert process.returncode == AGAIN, f"{name} ended with {process.returncode}:\n{house.said(name)[-3000:]}"
            house.start(name)


def check_words(house):
    for name in PROCESSES:
        assert "Traceback" not in house.said(name)
        assert "unexpected" not in house.said(name)


@pytest.mark.footage
def test_without_kafka_every_process_waits_says_so_in_one_line_and_begins_when_it_comes(house, broker):
    house.close()
    broker.kill()
    for name in PROCESSES:
        house.log(name).unlink(missing_ok=True)
    began = time.monotonic()
    house.start(*PROCESSES)
    try:
        until(
            lambda: house.alive() and all("waiting for it" in house.said(n) for n in PROCESSES),
            seconds=90,
            what="waiting",
        )
        time.sleep(3)
        house.alive()
        for name in PROCESSES:
            told = [line for line in house.said(name).splitlines() if "kafka" in line.lower()]
            assert 1 <= len(told) <= 1 + (time.monotonic() - began) // 30, "once, and again every half minute"
            assert f"kafka at {broker.servers[0]}: no broker answers (connection refused); waiting for it" in told[-1]
        with pytest.raises(httpx.ConnectError):
            house.get("/readyz")
    finally:
        broker.start()
    flowing(house)

    until(lambda: answers(house, "/readyz"), seconds=60, what="the API")
    check_words(house)
    answered = f"kafka at {broker.servers[0]} answers after"
    until(lambda: all(answered in house.said(name) for name in PROCESSES), seconds=60, what="every process saying so")


def answers(house, path):
    try:
        return house.get(path)
    except httpx.HTTPError:
        return None


@pytest.mark.footage
def test_a_picture_that_does_not_decode_becomes_a_dead_letter_and_the_next_one_is_analysed(kept_alive):
    house, name, shard = kept_alive, f"hand-{uuid.uuid4().hex[:6]}", 1

    def record(seq, body):
        size = Size(640, 352) if isinstance(body, Frame) else None
        header = Header(
            log="by-hand", camera=CameraId(name), shard=shard, epoch=1, seq=seq, captured_ms=1_777_777_777_000 + 100 * seq,
            clock=Clock.PTS, size=size, source_size=size,
        )  # fmt: skip
        return Record(header, body)

    good = picture(1)
    bodies = [
        Opened(source_size=Size(640, 352), clock=Clock.PTS),
        *map(Frame, (good, b"\xff\xd8 I am no picture", b"", good[: len(good) // 3], good)),
    ]

    async def write():
        kafka = Kafka(servers=house.servers, topics=house.topics, client_id="tests")
        async with kafka.writer() as writer:
            encoded = [encode_record(record(seq, body)) for seq, body in enumerate(bodies)]
            sent = [await writer.send("frames", 2, key=e.key, value=e.value, headers=e.headers) for e in encoded]
            return [await offset for offset in sent]

    offsets = asyncio.run(write())
    until(
        lambda: len(camera_logs(house.detections).get(name, ())) == len(bodies),
        seconds=SLOW_S,
        what="an answer to each record",
    )

    log = camera_logs(house.detections)[name]
    assert [r.header.seq for r in log] == list(range(len(bodies)))
    assert [type(r.body) for r in log] == [Opened, Detections, Gap, Gap, Gap, Detections]
    assert {(r.body.reason, r.body.frames) for r in log if isinstance(r.body, Gap)} == {(GapReason.LOST, 1)}
    letters = [decode_json(m.value, DeadLetter, "a dead letter") for m in Log(house, "dead-letters").read()]
    mine = [letter for letter in letters if letter.headers.get("camera") == name]
    assert [(x.topic.removeprefix(house.prefix), x.partition, x.process) for x in mine] == [
        ("frames", 2, "detect")
    ] * len(mine)
    assert [x.offset for x in mine] == [o for o, r in zip(offsets, log, strict=True) if isinstance(r.body, Gap)]
    assert "I am no picture" not in str(mine)
    assert house.said("detect").count(f"offset {offsets[2]}: ") == 1
    flowing(house)
    check_words(house)


@pytest.mark.footage
def test_kafka_gone_for_a_while_costs_no_record_and_doubles_none(kept_alive, broker):
    house = kept_alive
    until(lambda: keep_alive(house) or events(house.events), seconds=SLOW_S, what="an event")

    broker.kill()
    gone_ms = time.time_ns() // 1_000_000
    back = time.monotonic() + AWAY_S
    while time.monotonic() < back:
        keep_alive(house)
        time.sleep(0.5)
    broker.start()
    back_ms = time.time_ns() // 1_000_000

    def caught_up():
        keep_alive(house)
        newest = {name: log[-1].header.captured_ms for name, log in camera_logs(house.detections).items()}
        return all(newest[name] > back_ms for name in FPS)

    until(caught_up, seconds=SLOW_S, what="detections of what was captured after Kafka was back")
    until(
        lambda: any(e.captured_ms > back_ms for e in events(house.events).values()),
        seconds=SLOW_S,
        what="an event after it",
    )
    house.stop("capture")
    until(lambda: keep_alive(house) or lag(house) == 0, seconds=SLOW_S, what="lag 0")
    ours = {name: log for name, log in camera_logs(house.detections).items() if name in FPS}
    for name, fps in FPS.items():
        assert faults(ours[name], 1000 / fps) == []
        seen = [r.header.captured_ms for r in ours[name] if isinstance(r.body, Detections)]
        assert sum(gone_ms < at < gone_ms + AWAY_S * 1000 for at in seen) >= AWAY_S * fps * 0.8, (
            "of the time without it"
        )
    found = {id_: e for id_, e in events(house.events).items() if e.camera in FPS}
    assert found == replayed(ours), "the events are what the log says, neither more nor less"
    assert any(gone_ms < e.captured_ms < gone_ms + AWAY_S * 1000 for e in found.values())
    until(lambda: set(found) <= served(house), seconds=60, what="the API knowing every event")
    assert len(everything(house)) == len(served(house))
    check_words(house)


@pytest.fixture
def four(broker, footage, tmp_path):
    """Makes an installation of four films in a loop, at 15 pictures a second each; capture alone runs, and writes."""
    film = footage / "videos" / "highway_nl_1280x720.mp4"  # of evenly 30 pictures a second
    houses = []

    def make(buffer_mib):
        broker.start()
        house = Installation(
            tmp_path, broker.servers, f"t{uuid.uuid4().hex[:8]}.", model="none", scenes={}, capture={"buffer_mib": buffer_mib},
            cameras={f"film-{n}": {"source": str(film), "loop": True, "fps": FOUR_FPS} for n in range(4)},
        )  # fmt: skip
        houses.append(house)
        house.prepare()
        house.start("capture")
        until(lambda: house.alive() and value(house, "frames_total") > 600, seconds=SLOW_S, what="pictures")
        return house

    yield make
    for house in houses:
        house.close()


def without_broker(house, broker, enough):
    """Take Kafka away until enough is true, then until all that waits is written: when it went, and capture's memory."""
    with Memory(house.processes["capture"].pid) as memory:
        broker.kill()
        gone_ms = time.time_ns() // 1_000_000
        until(lambda: house.alive() and enough(), seconds=SLOW_S, what="enough pictures")
        broker.start()
        until(lambda: house.alive() and value(house, "backlog_pictures") == 0, seconds=SLOW_S, what="an empty backlog")
    house.stop("capture")
    assert house.said("capture").count("kafka acknowledges nothing") == 1
    check_words(house)
    return gone_ms, memory


@pytest.mark.footage
def test_thirty_seconds_of_four_cameras_at_fifteen_a_second_wait_in_memory_and_are_then_on_the_log_once(four, broker):
    """Kafka stays away until so much really waits, however slow the machine."""
    house, began = four(256), time.monotonic()
    pictures = 4 * FOUR_FPS * LONG_AWAY_S
    gone_ms, memory = without_broker(
        house, broker, lambda: time.monotonic() > began + LONG_AWAY_S and value(house, "backlog_pictures") >= pictures
    )

    logs = raw_logs(Log(house, "frames"))
    assert len(logs) == 4
    for log in logs.values():
        assert faults(log, 1000 / FOUR_FPS) == [], "no hole, no repeat, no gap record, no stretch without pictures"
        at = [r.header.captured_ms for r in log if isinstance(r.body, Frame)]
        away = sum(gone_ms <= ms < gone_ms + LONG_AWAY_S * 1000 for ms in at)
        assert away >= 0.95 * FOUR_FPS * LONG_AWAY_S, "fifteen a second of the time without Kafka"
    assert memory.grown <= 256 * MIB, "by all that capture holds, not by pictures alone"


@pytest.mark.footage
def test_what_does_not_fit_into_memory_becomes_gaps_that_tell_how_much_and_memory_stays_bounded(four, broker):
    buffer_mib, held_mib = (
        32,
        40,
    )  # and what the client holds (32 records of each camera are under way) and the allocator keeps
    house = four(buffer_mib)
    _, memory = without_broker(house, broker, lambda: value(house, "dropped_total") > 1000)

    logs = raw_logs(Log(house, "frames"))
    gaps = [r.body for log in logs.values() for r in log if isinstance(r.body, Gap)]
    assert len(logs) == 4
    for log in logs.values():
        assert [
            fault for fault in faults(log, 1000 / FOUR_FPS) if "comes" in fault or "came" in fault or "begins" in fault
        ] == []
        bodies = [(r.header.captured_ms, r.body) for r in log if isinstance(r.body, Frame | Gap)]
        pictures = sum(body.frames if isinstance(body, Gap) else 1 for _, body in bodies)
        seconds = (bodies[-1][0] - bodies[0][0]) / 1000
        assert pictures == pytest.approx(FOUR_FPS * seconds, rel=0.02), "each is on the log, or in a gap"
    assert {gap.reason for gap in gaps} == {GapReason.OVERFLOW}
    assert sum(gap.frames for gap in gaps) > 1000
    assert memory.grown <= (buffer_mib + held_mib) * MIB


class Memory(threading.Thread):
    """Looks at a process's resident memory ten times a second; `grown` is the peak less what it was."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.ended = Path(f"/proc/{pid}/status"), threading.Event()
        self.began = self.peak = self.resident()

    @property
    def grown(self):
        return self.peak - self.began

    def resident(self):
        return next(int(line.split()[1]) * 1024 for line in self.status.read_text().splitlines() if "VmRSS" in line)

    def run(self):
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, self.resident())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def value(house, metric):
    """What a metric of capture is now, over all its series; -1 before there is a page to ask."""
    try:
        page = httpx.get(f"http://127.0.0.1:{house.metrics['capture']}/metrics", timeout=20).text
    except httpx.ConnectError:
        return -1
    lines = [line.rpartition(" ") for line in page.splitlines() if line.startswith(f"gantry_capture_{metric}")]
    return sum(float(number) for _, _, number in lines)


def everything(house):
    """Ids of all events the API gives, page by page."""
    ids, cursor = [], None
    while True:
        page = house.get("/api/v1/events", limit=500, **({"cursor": cursor} if cursor else {})).json()
        ids += [e["id"] for e in page["items"]]
        if (cursor := page["next"]) is None:
            return ids


def served(house):
    return set(everything(house))


# --- what is refused before anything runs -------------------------------------------------------


def gantry(*words):
    done = subprocess.run(
        [sys.executable, "-m", "workers.gantry", *map(str, words)], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.splitlines()


def test_topics_with_other_partitions_are_told_in_plain_words_and_nothing_is_started(kafka, tmp_path):
    prefix = f"t{uuid.uuid4().hex[:8]}."
    house = Installation(tmp_path, kafka.servers, prefix, model="gantry-s", cameras={}, scenes={})
    house.gantry("topics", "apply", "--config", str(house.file))
    house.file.write_text(house.file.read_text().replace("shards: 3", "shards: 5").replace("frames: 4", "frames: 8"))

    for words in (("topics", "apply", "--config", house.file), ("up", house.file)):
        code, out, err = gantry(*words)
        told = [line for line in (*out.splitlines(), *err) if "partitions" in line]
        assert code == 1
        assert f"topic {prefix}frames has 4 partitions, it should have 8" in told[0]
        assert any(f"topic {prefix}detections has 3 partitions, it should have 5" in line for line in told)
        assert "Traceback" not in out + "".join(err)
        assert not any(line.startswith(name) for line in out.splitlines() for name in PROCESSES), (
            "no process was started"
        )


def test_a_memory_of_a_newer_gantry_ends_track_with_one_line_and_the_exit_code_for_configuration(kafka, tmp_path):
    house = Installation(tmp_path, kafka.servers, f"t{uuid.uuid4().hex[:8]}.", model="none", cameras={}, scenes={})
    house.gantry("topics", "apply", "--config", str(house.file))
    memory = encode_json(SNAPSHOT).replace(b'"v":1', b'"v":2', 1)
    out = encode_record(RECORDS["detections"])

    async def write():
        shard = 1
        headers = [(k, b"%d" % shard if k == "shard" else v) for k, v in out.headers]
        async with Kafka(servers=house.servers, topics=house.topics, client_id="tests").writer() as writer:
            await (await writer.send("track-state", shard, key=b"north-1@newer", value=memory))
            await (await writer.send("detections", shard, key=out.key, value=out.value, headers=headers))

    asyncio.run(write())
    code, said = house.gantry("track", "--config", str(house.file), check=False)

    assert code == MEND
    told = [line for line in said.splitlines() if "memory" in line]
    assert len(told) == 1
    assert (
        "the memory of north-1@newer (track-state partition 1, offset 0) is of version 2, this gantry knows 1" in said
    )
    assert "Traceback" not in said
    assert Log(house, "events").read() == Log(house, "dead-letters").read() == []
    assert [m.value for m in Log(house, "track-state").read()] == [memory], "it is left to the newer one"


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    file = tmp_path / "gantry.yaml"
    file.write_text(
        "kafka: {servers: localhost:9092, prefx: x.}\n"
        "detect: {batch: many}\n"
        "server: {port: 8080}\n"
        "cameras:\n  north: {source: 'rtsp://admin:s3cret-Passw0rd@h/1', fsp: 10}\n"
        "scenes:\n  north: {drawn_on: 9x9, lines: {l: {from: [0, 0], to: [1, 2]}}}\n"
    )
    for words, expected in ((("up", file), 1), (("detect", "--config", file), 78)):
        code, out, err = gantry(*words)

        assert (code, out) == (expected, "")
        assert sorted(line.removeprefix(f"{file}:").partition(": ")[2].partition(": ")[0] for line in err) == [
            "cameras.north.fsp", "cameras.north.source", "detect.batch", "kafka.prefx", "kafka.servers",
            "scenes.north.lines.l.to[1]", "server",
        ]  # fmt: skip
        assert sorted({int(line.removeprefix(f"{file}:").partition(":")[0]) for line in err}) == [1, 2, 3, 5, 7]
        assert "s3cret-Passw0rd" not in "".join(err)
