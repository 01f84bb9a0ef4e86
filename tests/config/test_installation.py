"""The installation file: every mistake at once, each with its place; good ones become the core's nouns."""

import math
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.config import Mistakes, Settings, load, load_scene
from pipeline.config.entries import crossing_sides
from pipeline.core.model import Line, Scene, Size, Zone
from pipeline.core.registry import WantedCamera, WantedGroup
from pipeline.wire.topics import Sizes

GOOD = """\
kafka:
  servers: [a:9092, b:9092]
  sizes: {frames: 48}
detect: {batch: 4, score: 0.2}
track: {beliefs: {tracking: {lost_ms: 2000}}}
cameras:
  north:
    source: rtsp://${env:CAM_USER}:${env:CAM_PASSWORD}@10.0.0.1/1
    fps: 10
    time_zone: Europe/Amsterdam
    position: {latitude: 52.1, longitude: 4.3}
  012:
    source: videos/road.mp4
    loop: true
    pace: fast
    start: 2026-05-01T08:00:00
groups:
  ring: {name: Ring road, kind: corridor, members: [north, 012]}
scenes:
  north:
    drawn_on: 1280x720
    lines:
      gate: {from: [0, 0.5], to: [1, 0.5], to_right: no, to_left: southbound, classes: [car, truck]}
    zones:
      box: {points: [[0, 0], [1, 0], [1, 1], [0, 1]]}
"""

BAD = """\
kafka:
  servers: localhost:9092
  prefx: a.
  sizes: {frames: 0}
capture:
  stall_s: fast
cameras:
  north:
    source: rtsp://admin:hunter2@10.0.0.1/1
    fps: fast
    width: 640.5
    loop: yes
    time_zone: Europe/Amsterdm
    postion: {}
  south:
    fps: 0
    position: {latitude: 91}
  bad id: {source: x}
  south: {source: y}
  west: {source: rstp://x/y, pace: slow, start: soon}
groups:
  ring: {members: [north, sout, north], kind: town}
  empty: {members: []}
scenes:
  north:
    lines:
      a: {from: [0.1, 0.2], to: [0.1, 0.2]}
      b: {from: [0.1, 640], to: [0.1]}
    zones:
      a: {points: [[0, 0], [1, 1], [1, 0], [0, 1]]}
      c: {points: [[0, 0], [1, 1]]}
  east:
    drawn_on: 1280
    lines: []
  south:
    drawn_on: 640x352
    lines: {gate: {from: [0, 0.5], to: [1, 0.5]}}
    zones: {gate: {points: [[0, 0], [1, 0], [1, 1]]}}
serve: 7
trak: {}
"""

REASONS = """\
2: kafka.servers: must be a list, like [a, b], got 'localhost:9092'
3: kafka.prefx: is no known key (did you mean prefix?)
4: kafka.sizes.frames: must be a whole number from 1 to 10000, got 0
6: capture.stall_s: must be a number above 0, got 'fast'
9: cameras.north.source: holds a user name or password; put them into the environment or a file and write \
${env:CAM_USER}:${env:CAM_PASSWORD} in their place (or ${file:/run/secrets/cam})
10: cameras.north.fps: must be a number above 0, got 'fast'
11: cameras.north.width: must be a whole number from 64 to 8192, got 640.5
12: cameras.north.loop: must be true or false, got 'yes'
13: cameras.north.time_zone: is no known time zone: 'Europe/Amsterdm' (did you mean Europe/Amsterdam?)
14: cameras.north.postion: is no known key (did you mean position?)
15: cameras.south.source: is missing
16: cameras.south.fps: must be a number above 0, got 0
17: cameras.south.position.latitude: must be a number from -90 to 90, got 91
17: cameras.south.position.longitude: is missing
18: cameras.bad id: must be a name of letters, digits, '.', '_' and '-' that begins with a letter or digit, at most \
63 long
19: cameras.south: is there twice, first in line 15; keep one
20: cameras.west.pace: must be one of fast, live, got 'slow'
20: cameras.west.source: begins with an unknown 'rstp' (did you mean rtsp?)
20: cameras.west.start: must be a date and time like 2026-05-01T08:00:00, got 'soon'
22: groups.ring.kind: must be one of city, corridor, site, got 'town'
22: groups.ring.members: names north more than once
22: groups.ring.members[1]: there is no camera 'sout' (did you mean south?)
23: groups.empty.members: needs at least 1 entry, got 0
25: scenes.north.drawn_on: is missing
27: scenes.north.lines.a: a line needs two different points, got [0.1, 0.2] twice
28: scenes.north.lines.b.from[1]: must be a number from 0 to 1, got 640
28: scenes.north.lines.b.to: must be a point, written [x, y], got 1 values
30: scenes.north.zones.a: the outline crosses itself: the side from corner 1 meets the side from corner 3 (write the \
corners in order, once around)
31: scenes.north.zones.c.points: needs at least 3 entries, got 2
32: scenes.east: is a scene of no camera: there is no camera 'east' (did you mean west?)
33: scenes.east.drawn_on: must be a size in pixels, like 1280x720, got 1280
34: scenes.east.lines: must hold names and their values, got a list
35: scenes.south: places of a scene need different names; a line and a zone are both gate
39: serve: must hold keys like `host:`, got 7
40: trak: is no known key (did you mean track?)
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="gantry.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def refused(path, environ=None):
    with pytest.raises(Mistakes) as caught:
        load(path, environ or {})
    return [str(m).removeprefix(f"{path}:").removeprefix(f"{path}: ") for m in caught.value.mistakes]


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line_and_path(write):
    assert refused(write(BAD)) == REASONS.splitlines()


def test_a_message_begins_with_the_file_as_the_user_named_it(write, monkeypatch, tmp_path):
    write("serve: {port: 0}")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(Mistakes) as caught:
        load(Path("gantry.yaml"), {})
    assert str(caught.value) == "gantry.yaml:1: serve.port: must be a whole number from 1 to 65535, got 0"


def test_a_good_file_becomes_settings_and_nouns(write, tmp_path):
    got = load(write(GOOD), {})

    assert got.settings.kafka.servers == ["a:9092", "b:9092"]
    assert got.settings.kafka.sizes == Sizes(frames=48)
    assert (got.settings.detect.batch, got.settings.detect.score) == (4, 0.2)
    assert got.settings.track.beliefs.tracking.lost_ms == 2000
    assert got.settings.serve == Settings().serve
    assert got.cameras == [
        WantedCamera(
            id="north",
            source="rtsp://${env:CAM_USER}:${env:CAM_PASSWORD}@10.0.0.1/1",
            fps=10.0,
            time_zone="Europe/Amsterdam",
            latitude=52.1,
            longitude=4.3,
        ),
        WantedCamera(
            id="012",
            source=str(tmp_path / "videos/road.mp4"),
            loop=True,
            pace="fast",
            start="2026-05-01T08:00:00",
        ),
    ]
    assert got.groups == [WantedGroup(id="ring", name="Ring road", kind="corridor", members=["north", "012"])]
    line = Line(
        name="gate", start=(0, 0.5), end=(1, 0.5), to_right="no", to_left="southbound", classes=["car", "truck"]
    )
    zone = Zone(name="box", points=[(0, 0), (1, 0), (1, 1), (0, 1)])
    assert got.scenes == {"north": Scene(drawn_on=Size(1280, 720), lines=[line], zones=[zone])}
    assert got.strangers([]) == []


def test_no_file_means_the_defaults():
    got = load(None, {})

    assert got.settings == Settings()
    assert (got.cameras, got.groups, got.scenes) == ([], [], {})


def test_sections_without_content_are_empty(write):
    assert load(write("kafka:\ncameras:\nscenes:\n"), {}).settings == Settings()


def test_groups_and_scenes_may_name_cameras_that_only_the_registry_knows(write):
    got = load(
        write("groups: {g: {members: [a, 7]}}\nscenes:\n  c: {drawn_on: 9x9, lines: {l: {from: [0, 0], to: [1, 1]}}}"),
        {},
    )

    assert got.strangers(["a", "7", "c"]) == []
    assert [(m.line, m.path, m.text) for m in got.strangers(["a"])] == [
        (1, "groups.g.members[1]", "there is no camera '7'"),
        (3, "scenes.c", "is a scene of no camera: there is no camera 'c'"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://admin:hunter2@cam/1",
        "rtsp://hunter2@cam/1",
        "rtsp://${env:U}:hunter2@cam/1",
        "rtsp://u:hunter2/%23@cam/1",
        "rtsp://cam/1?user=a&password=hunter2",
        "http://cam/mjpeg?token=hunter2",
        "RTSPS://admin:hunter2@cam/1",
    ],
)
def test_a_source_with_a_secret_in_it_is_refused_and_the_secret_is_not_repeated(write, source):
    said = refused(write(f"cameras:\n  a:\n    source: {source}\n    fps: {source}\n    pace: {source}\n"))

    assert "cameras.a.source: holds a user name or password" in said[0]
    assert "${env:CAM_PASSWORD}" in said[0]
    assert "hunter2" not in "\n".join(said)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://cam/1",
        "rtsp://cam:554/1@2x",
        "rtsp://${env:U}:${file:/run/secrets/pw}@cam/1",
        "rtsp://cam/1?token=${env:T}&size=1",
        "${env:CAM_URL}",
        "my@video.mp4",
    ],
)
def test_a_source_without_a_secret_is_taken(write, source, tmp_path):
    camera = load(write(f"cameras: {{a: {{source: '{source}'}}}}"), {}).cameras[0]

    assert camera.source == (str(tmp_path / source) if source.endswith(".mp4") else source)


@pytest.mark.parametrize("source", ["sim+detections://junction", "SIM+detections://street?seed=1&fps=5&noise=none"])
def test_a_simulated_camera_is_taken_as_it_is_written(write, source):
    (camera,) = load(write(f"cameras: {{a: {{source: '{source}', loop: true, pace: fast, fps: 5}}}}"), {}).cameras

    assert (camera.source, camera.loop, camera.pace, camera.fps) == (source, True, "fast", 5)


def test_everything_wrong_with_simulated_cameras_is_told_with_its_place(write):
    said = refused(
        write(
            "cameras:\n"
            "  a: {source: 'sim+detections://junctoin?sede=1&fps=100'}\n"
            "  b:\n"
            "    fps: 0\n"
            "    source: sim+detections://street?seed=99\n"
            "  c: {source: 'sim+detection://street'}\n"
            "  d: {source: 'sim+detections://'}\n"
        )
    )

    assert said[:1] + said[3:] == [
        (
            "2: cameras.a.source: names 'junctoin', which is no scenario (did you mean junction?); has an unknown"
            " parameter 'sede' (did you mean seed?); needs a number from 1 to 60 for fps, got '100'"
        ),
        "6: cameras.c.source: begins with an unknown 'sim+detection' (did you mean sim+detections?)",
        "7: cameras.d.source: names nothing after sim+detections://",
    ]
    assert said[1] == "4: cameras.b.fps: must be a number above 0, got 0"
    assert said[2].startswith(
        "5: cameras.b.source: has no recording with seed 99: street comes with 0-7; make one with"
    )


@pytest.mark.parametrize("password", ["hunter2", "hunter2 ${env:X}", "${env:}", "${vault:x}", "[hunter2]", "17072026"])
def test_a_password_in_the_file_is_refused_and_not_repeated(write, password):
    (said,) = refused(
        write(
            "kafka:\n  security: sasl_ssl\n  sasl_mechanism: PLAIN\n  username: u\n"
            f"  password: {password}\ndetect: {{batch: 1}}\n"
        )
    )[:1]

    assert said.startswith("5: kafka.password: must be a reference, never the secret itself")
    assert "hunter2" not in said
    assert "17072026" not in said


@pytest.mark.parametrize(
    ("kafka", "said"),
    [
        ("security: sasl_ssl, username: u, password: '${env:P}'", "kafka.sasl_mechanism: is missing"),
        ("username: u", "kafka.security: is plaintext, which sends no user name"),
        ("security: ssl, cert_file: c.pem", "kafka.key_file: is missing; a certificate and its key go together"),
        ("servers: [localhost]", "kafka.servers[0]: must be host:port, like localhost:9092, got 'localhost'"),
        ("servers: []", "kafka.servers: needs at least 1 entry, got 0"),
        ("prefix: a/b", "kafka.prefix: must be text that matches"),
    ],
)
def test_kafka_settings_that_cannot_work_together_are_refused(write, kafka, said):
    assert said in refused(write(f"kafka: {{{kafka}}}"))[0]


def test_windows_that_do_not_fit_each_other_are_refused(write):
    assert refused(write("aggregate: {windows_s: [60, 90]}")) == [
        "1: aggregate.windows_s: must be multiples of the shortest (60) and divide the longest (90), got 60"
    ]


@pytest.mark.parametrize("value", ["true", "~", "[1]", "{a: 1}", ".nan", ".inf", "''", "1e400"])
def test_a_number_is_a_finite_number_and_nothing_else(write, value):
    (said,) = refused(write(f"cameras: {{a: {{source: x, width: {value}}}}}"))

    assert "cameras.a.width: must be a whole number from 64 to 8192" in said


def test_a_scene_alone_in_a_file_is_read_by_load_scene(write):
    path = write("drawn_on: 640x352\nlines:\n  gate: {from: [0, 0.5], to: [1, 0.5]}\n", "scene.yaml")

    assert load_scene(path) == Scene(drawn_on=Size(640, 352), lines=[Line(name="gate", start=(0, 0.5), end=(1, 0.5))])
    with pytest.raises(Mistakes, match="holds a single scene, but an installation is wanted"):
        load(path, {})


def test_mistakes_of_a_scene_alone_have_their_places_too(write):
    path = write("lines:\n  gate: {from: [0, 0.5], to: [2, 0.5]}\n  gate: {}\n", "scene.yaml")

    with pytest.raises(Mistakes) as caught:
        load_scene(path)
    assert [(m.line, m.path) for m in caught.value.mistakes] == [
        (1, "drawn_on"),
        (2, "lines.gate.to[0]"),
        (3, "lines.gate"),
    ]


def test_load_scene_takes_the_scene_of_one_camera_out_of_an_installation(write):
    two = "scenes:\n  a: {drawn_on: 10x10}\n  b: {drawn_on: 20x20}\n"

    assert load_scene(write(two), "b").drawn_on == Size(20, 20)
    assert load_scene(write("scenes: {a: {drawn_on: 10x10}}")).drawn_on == Size(10, 10)
    for text, camera, said in (
        (two, None, "holds 2 scenes (a, b): say whose"),
        (two, "c", "hold none for camera c"),
        ("cameras: {}", None, "holds no scene"),
    ):
        with pytest.raises(Mistakes) as caught:
            load_scene(write(text), camera)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("points", "crossed"),
    [
        ([(0, 0), (1, 0), (1, 1)], None),
        ([(0, 0), (1, 0), (1, 1), (0, 1)], None),
        ([(0, 0), (1, 0), (1, 1), (0.5, 0.5), (0, 1)], None),  # hollow, not crossing
        ([(0, 0), (0.5, 0), (1, 0), (1, 1)], None),  # a corner in the middle of a straight side
        ([(0, 0), (1, 1), (1, 0), (0, 1)], (0, 2)),
        ([(0, 0), (1, 0), (0.5, 0)], (0, 1)),  # no area: it folds back
        ([(0, 0), (0, 0), (1, 1)], (0, 1)),
        ([(0, 0), (1, 0), (0.5, 1), (0.5, 0), (0.2, 1)], (0, 2)),  # touches its own side
    ],
)
def test_an_outline_that_meets_itself_is_found(points, crossed):
    assert crossing_sides(points) == crossed


@given(st.lists(st.integers(0, 359), min_size=3, max_size=12, unique=True))
def test_corners_in_order_around_a_circle_never_cross(degrees):
    points = [(math.cos(math.radians(d)), math.sin(math.radians(d))) for d in sorted(degrees)]

    assert crossing_sides(points) is None


@given(st.lists(st.integers(0, 23), min_size=4, max_size=8, unique=True), st.randoms())
def test_corners_of_a_circle_out_of_order_always_cross(hours, random):
    order = sorted(hours)
    shuffled = order[:]
    random.shuffle(shuffled)
    start = shuffled.index(order[0])
    turned = shuffled[start:] + shuffled[:start]
    assume(turned not in (order, [order[0], *reversed(order[1:])]))
    points = [(math.cos(h * math.pi / 12), math.sin(h * math.pi / 12)) for h in shuffled]

    assert crossing_sides(points) is not None


MEASURED = """\
drawn_on: 1280x720
lines:
  a: {from: [0, 0.5], to: [1, 0.5]}
  b: {from: [0, 0.7], to: [1, 0.7]}
calibration: %s
speed_traps: {run: %s}
"""
SQUARE = (
    "{points: [{at: [0.2, 0.8], metres: [0, 0]}, {at: [0.8, 0.8], metres: [8, 0]},"
    " {at: [0.35, 0.4], metres: [0, 40]}, {at: [0.65, 0.4], metres: [8, 40]}]}"
)
RUN = "{from: a, to: b, metres: 20}"


@pytest.mark.parametrize(
    ("calibration", "trap", "said"),
    [
        (SQUARE.replace("[0.65, 0.4]", "[0.2, 0.8]"), RUN, ["calibration: points 1 and 4 are the same in the picture"]),
        (SQUARE, "{from: a, to: bb, metres: 20}", ["speed trap run needs lines of this scene; there is no bb (did you mean b?)"]),
        (SQUARE, "{from: a, to: a, metres: 20}", ["needs two different lines"]),
        ("{}", RUN, ["needs one of points, road and pose, got none"]),
        ("{pose: {height: 8, tilt: 9, focal_px: 900, field_of_view: 50}}", RUN, ["needs focal_px or field_of_view"]),
        ("{pose: {height: 8, tilt: 9}}", RUN, ["needs focal_px or field_of_view"]),
        (
            SQUARE.replace("}]}", "}], valid: [[0, 0.6], [1, 0.9], [1, 0.6], [0, 0.9]]}"), RUN,
            ["the outline of valid crosses itself"],
        ),
        (
            SQUARE.replace("[0.65, 0.4]", "[0.2, 0.8]"), "{from: a, to: c, metres: 20}",
            ["points 1 and 4 are the same", "there is no c"],
        ),
        ("{pose: {height: -1, tilt: 100, focal_px: x}}", RUN, ["height: must be a number", "tilt: must be", "focal_px: must be"]),
    ],
)  # fmt: skip
def test_mistakes_of_a_calibration_are_told_all_at_once(calibration, trap, said, tmp_path):
    (tmp_path / "scene.yaml").write_text(MEASURED % (calibration, trap))

    with pytest.raises(Mistakes) as wrong:
        load_scene(tmp_path / "scene.yaml")

    assert all(text in str(wrong.value) for text in said)


def test_a_measured_scene_becomes_the_cores_own(tmp_path):
    (tmp_path / "scene.yaml").write_text(MEASURED % (SQUARE, RUN))

    scene = load_scene(tmp_path / "scene.yaml")

    assert scene.calibration.points[1].metres == (8, 0)
    assert [(t.name, t.start, t.end, t.metres) for t in scene.speed_traps] == [("run", "a", "b", 20)]
