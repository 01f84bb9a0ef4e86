"""Real footage from a real RTSP server through a real Kafka, each worker its own OS process, against counts by eye."""

import csv
import json
import time
import uuid

import httpx
import pytest

from pipeline.core.model import Clock, Crossing, Opened
from pipeline.wire.codec import decode_record
from tests.system.installation import Installation, LiveEvents, until
from tests.system.logs import Log, events, lag
from tests.system.rtsp import serving, why_not
from tests.system.truth import CLIPS, Clip, compare

pytestmark = [pytest.mark.kafka, pytest.mark.rtsp, pytest.mark.footage, pytest.mark.timeout(900)]
LATE_S = 8  # a camera's first pictures wait for its clock, and capture may be busy
SLOW_S = 600  # this machine may be far slower than real time
FPS = 12.5  # every second picture: twice as many would keep two cores busy for most of a test's time


@pytest.fixture
def clips(footage):
    return [Clip(footage, name) for name in CLIPS]


@pytest.fixture
def server(clips):
    if reason := why_not():
        pytest.skip(reason)
    with serving({clip.name: clip.path for clip in clips}) as running:
        yield running


@pytest.fixture
def house(clips, server, kafka, tmp_path, model):
    running = Installation(
        tmp_path, kafka.servers, f"s{uuid.uuid4().hex[:8]}.", model=model,
        cameras={c.name: {"source": server.url(c.name), "fps": FPS} for c in clips}, scenes={c.name: c.scene for c in clips},
    )  # fmt: skip
    running.detections, running.events = Log(running, "detections"), Log(running, "events")
    yield running
    running.close()


def epochs(house):
    """The camera's first epoch: when it began, what its clock was, and how far its log has come."""
    found = {}
    for message in house.detections.read():
        record = decode_record(message.headers, message.value)
        camera, epoch = record.header.camera, record.header.epoch
        first = found.setdefault(camera, {"epoch": epoch, "first_ms": None, "last_ms": 0, "ended": False})
        if epoch == first["epoch"]:
            if isinstance(record.body, Opened):
                first |= {"first_ms": record.body.first_ms, "clock": record.header.clock}
            first["last_ms"] = max(first["last_ms"], record.header.captured_ms)
        else:
            first["ended"] = True
    return found


def check_a_pass_is_through(house, clips):
    """Each camera's log holds one whole pass of its clip in its first epoch."""
    found = epochs(house)
    for clip in clips:
        epoch = found[clip.name]
        assert epoch["ended"] or epoch["last_ms"] - epoch["first_ms"] >= clip.seconds * 1000 - 100, clip.name


def first_pass(clip, first_ms, found):
    """Crossings of the first pass: [(t_seconds, direction)]."""
    crossed = [e for e in found if e["camera"] == clip.name and "direction" in e]
    out = [((e["captured_ms"] - first_ms) / 1000, e["direction"]) for e in crossed]
    return [(t, way) for t, way in out if t <= clip.seconds]


def check_all(house, clips, live):
    """The events of the topic and those of the live feed are the truth; none came twice."""
    found = epochs(house)
    unique = {
        e.id: {"camera": e.camera, "captured_ms": e.captured_ms, "direction": e.direction.value}
        for e in events(house.events).values()
        if isinstance(e, Crossing)
    }
    assert {found[c.name]["clock"] for c in clips} == {Clock.RTCP}, "the server tells its wall clock"
    for clip in clips:
        first_ms = found[clip.name]["first_ms"]
        assert compare(clip, first_pass(clip, first_ms, unique.values())) == []
        until(
            lambda c=clip, ms=first_ms: len(first_pass(c, ms, live.messages)) >= len(c.crossings),
            seconds=30,
            what="the live feed",
        )
        assert compare(clip, first_pass(clip, first_ms, live.messages)) == []
    assert len({m["id"] for m in live.messages}) == len(live.messages), "no event came twice over the live feed"
    answered = house.get("/api/v1/events", limit=500, type="crossing").json()["items"]
    assert {e["id"] for e in answered} == set(unique)


def run_one_pass(house, clips, *, disturb):
    house.prepare()
    house.start("serve", "aggregate", "track", "detect")
    until(lambda: house.alive() and "ready" in _readiness(house), seconds=90, what="the API")
    live = LiveEvents(house.port)
    live.start()
    until(lambda: live.snapshots, seconds=30, what="the first snapshot")
    house.start("capture")
    until(lambda: house.alive() and len(epochs(house)) == len(clips), seconds=60, what="all cameras live")
    began = time.monotonic()
    for clip in sorted(clips, key=lambda c: c.seconds):  # the server plays on and on; each camera is seen for one pass
        if disturb and clip is clips[0]:
            until(lambda: house.alive() and len(house.events.read()) >= 5, seconds=SLOW_S, what="five events")
            house.kill("detect", "track")
            house.start("detect", "track")
        time.sleep(max(0.0, clip.seconds + LATE_S - (time.monotonic() - began)))
        house.gantry("cameras", "remove", clip.name, "--config", str(house.file))
    until(lambda: house.alive() and lag(house) == 0, seconds=SLOW_S, what="lag 0")
    house.stop("capture")
    check_a_pass_is_through(house, clips)
    check_all(house, clips, live)
    live.ended.set()
    return live


def _readiness(house):
    try:
        return "ready" if house.get("/readyz").status_code == 200 else ""
    except httpx.HTTPError:
        return ""


def test_the_events_of_two_rtsp_cameras_equal_the_count_by_eye(house, clips):
    run_one_pass(house, clips, disturb=False)

    ids = [dict(record.headers)["ce_id"] for record in house.events.read()]
    assert len(ids) == len(set(ids)), "nobody was killed, so not even the topic holds an event twice"
    flow = house.get("/api/v1/flow", camera=clips[0].name).json()["items"]
    assert flow, "windows of flow are served"
    for name in ("capture", "detect", "track", "aggregate", "serve"):
        assert "Traceback" not in house.said(name)


def test_the_events_stay_the_same_when_detect_and_track_are_killed_in_the_middle(house, clips):
    run_one_pass(house, clips, disturb=True)


@pytest.mark.parametrize("name", CLIPS)
def test_a_counted_file_gives_the_count_by_eye(name, footage, tmp_path, house, model):
    clip, out = Clip(footage, name), tmp_path / "out"
    scene = f"tests/system/scenes/{name}.yaml"
    _, said = house.gantry("count", str(clip.path), "--scene", scene, "--model", str(model), "--out", str(out))

    told = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert {e["type"] for e in told} == {"crossing"}
    with (out / "events.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (out / "flow.csv").open() as file:
        flow = list(csv.DictReader(file))
    assert compare(clip, [(e["t_seconds"], e["direction"]) for e in told]) == []
    assert [(r["captured_ms"], r["direction"], r["class"]) for r in rows] == [
        (str(e["captured_ms"]), e["direction"], e["class"]) for e in told
    ]
    assert {"type", "camera", "line", "direction", "class", "captured_ms", "t_seconds"} <= told[0].keys()
    assert sum(int(r["count"]) for r in flow) == len(clip.crossings)
    assert f"{len(clip.crossings)}" in said
