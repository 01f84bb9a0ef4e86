"""Simulated cameras through a whole gantry: each worker its own process, on a real Kafka, as fast as it goes."""

import dataclasses
import uuid
from collections import Counter

import msgspec
import pytest

from pipeline.core.model import Clock, Closed, Crossing, Detections, Header, Opened, Record
from pipeline.core.scene import Memory
from pipeline.simulate.journeys import recorded, write
from pipeline.simulate.noise import noise_model
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.sightings import sightings
from pipeline.simulate.truth import truth
from tests.core.road import run
from tests.system.installation import PROCESSES, Installation, until
from tests.system.logs import Log, camera_logs, events, faults, lag, replayed

pytestmark = [pytest.mark.kafka, pytest.mark.footage, pytest.mark.timeout(600)]
PLACES = {"crossroads": ("junction", "none"), "bypass": ("motorway", "yolov8n")}  # camera -> scenario, noise
SECONDS = 90  # of each
START, START_MS = "2026-05-01T08:00:00", 1_777_622_400_000
WHOLE_S = 240  # this machine may be slow, but both passes take less than so many seconds
NEAR = 0.25  # of what truly passed: how well it counts is another question, here it must not count something else


class Simulated:
    """One simulated camera, and what is known of it without gantry."""

    def __init__(self, folder, place, noise):
        self.place = scenario(place)
        self.recording = dataclasses.replace(recorded(place, 1), duration_ms=1000 * SECONDS)
        file = folder / f"{place}.traj"
        file.write_bytes(write(self.recording))
        self.source = f"sim+detections://{place}?recording={file}&seed=3&fps=10&noise={noise}"
        self.sightings = list(sightings(self.recording, self.place, fps=10, noise=noise_model(noise), seed=3))


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    """By id."""
    folder = tmp_path_factory.mktemp("recordings")
    return {name: Simulated(folder, *of) for name, of in PLACES.items()}


@pytest.fixture(scope="module")
def house(kafka, model, cameras, tmp_path_factory):
    """Both cameras were played to their end, and every process still runs."""
    running = Installation(
        tmp_path_factory.mktemp("house"), kafka.servers, f"t{uuid.uuid4().hex[:8]}.", model=model,
        cameras={name: {"source": c.source, "pace": "fast", "start": START} for name, c in cameras.items()}, scenes={},
    )  # fmt: skip
    running.prepare()
    for name, camera in cameras.items():
        _, said = running.gantry("simulate", "scene", camera.place.name)
        (running.folder / "scene.yaml").write_text(said)
        running.gantry(
            "scenes", "apply", str(running.folder / "scene.yaml"), "--camera", name, "--config", str(running.file)
        )
    running.start(*PROCESSES)
    running.detections, running.events = Log(running, "detections"), Log(running, "events")

    def played():
        running.alive()
        logs = camera_logs(running.detections)
        return all(name in logs and isinstance(logs[name][-1].body, Closed) for name in cameras) and lag(running) == 0

    try:
        until(played, seconds=WHOLE_S, what="both cameras played to their end")
        running.logs = camera_logs(running.detections)
        yield running
    finally:
        running.close()


def test_every_sighting_is_in_the_log_of_its_camera_once_in_order_and_unchanged(house, cameras):
    assert house.logs.keys() == cameras.keys()
    for name, log in house.logs.items():
        frames = [r for r in log if isinstance(r.body, Detections)]

        assert [(r.header.captured_ms - START_MS, r.body) for r in frames] == cameras[name].sightings
        assert {(r.header.size, r.header.clock) for r in frames} == {(cameras[name].place.size, Clock.FILE)}
        assert faults(log, 100) == []
        assert log[-1].body.reason == "ended"


def test_the_events_are_what_the_core_makes_of_the_logs_and_none_is_there_twice(house):
    messages = house.events.read()
    found = events(house.events)

    assert len(messages) == len(found) > 0
    assert found == replayed(house.logs)


def test_the_crossings_are_what_the_core_makes_of_the_sightings_themselves(house, cameras):
    """Without capture, detect and Kafka: only names, which hold the place in the log, are others."""

    def plain(crossings):
        left_out = {"id": "", "track": "", "epoch": 0}
        return sorted((msgspec.structs.replace(c, **left_out) for c in crossings), key=msgspec.json.encode)

    found = [e for e in events(house.events).values() if isinstance(e, Crossing)]
    for name, camera in cameras.items():
        assert plain(c for c in found if c.camera == name) == plain(straight(name, camera))


def straight(name, camera):
    """The crossings of one camera, made of its sightings in one go."""
    size = camera.place.size
    opened = Opened(source_size=size, clock=Clock.FILE, first_ms=START_MS)
    bodies = [(0, opened), (0, scene_of(camera.place)), *camera.sightings]
    records = [
        Record(
            Header(
                log="straight", camera=name, shard=0, epoch=0, seq=seq, captured_ms=START_MS + t_ms, clock=Clock.FILE, size=size,
                source_size=size,
            ),
            body,
        )
        for seq, (t_ms, body) in enumerate(bodies)
    ]  # fmt: skip
    return [o for o in run(records, Memory(camera=name))[0] if isinstance(o, Crossing)]


def test_each_line_counts_nearly_what_truly_passed(house, cameras):
    crossings = [e for e in events(house.events).values() if isinstance(e, Crossing)]
    found = Counter((e.camera, e.line, e.direction) for e in crossings)
    for name, camera in cameras.items():
        passages = truth(camera.recording, camera.place).passages
        true = Counter((name, p.line, p.direction) for p in passages if p.label in camera.place.classes)

        for key in true | Counter({k: v for k, v in found.items() if k[0] == name}):
            assert abs(found[key] - true[key]) <= max(2, NEAR * true[key]), f"{key}: {found[key]} of {true[key]}"


def test_serve_tells_every_event_once(house):
    wanted = {(e.id, e.camera) for e in events(house.events).values()}

    def told():
        house.alive()
        answers = served(house)
        return answers if len(answers) >= len(wanted) else None

    answers = until(told, seconds=60, what="serve knowing every event")

    assert len(answers) == len(wanted)
    assert {(e["id"], e["camera"]) for e in answers} == wanted


def served(house):
    """All events the API gives, page by page."""
    items, cursor = [], None
    while True:
        page = house.get("/api/v1/events", limit=500, **({"cursor": cursor} if cursor else {})).json()
        items += page["items"]
        if (cursor := page["next"]) is None:
            return items


def test_no_process_complained(house):
    for name in PROCESSES:
        assert "Traceback" not in house.said(name)
        assert "dead letter" not in house.said(name)
    assert Log(house, "dead-letters").read() == []
