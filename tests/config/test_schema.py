"""The published JSON Schema says what the checks say."""

import json

import jsonschema
import msgspec
import pytest
import yaml

from pipeline.config import Mistakes, Settings, load, load_scene
from pipeline.config.schema import PUBLISHED, published, schema

GOOD = """\
kafka: {servers: [a:9092], security: sasl_ssl, sasl_mechanism: PLAIN, username: u, password: '${env:P}'}
cameras:
  north: {source: a.mp4, fps: 5, position: {latitude: 1, longitude: 2}}
groups: {ring: {members: [north]}}
scenes:
  north:
    drawn_on: 640x352
    lines: {gate: {from: [0, 0.5], to: [1, 0.5], classes: [car]}}
    zones: {box: {points: [[0, 0], [1, 0], [1, 1]]}}
  south:
    drawn_on: 1280x720
    lines: {a: {from: [0, 0.5], to: [1, 0.5]}, b: {from: [0, 0.7], to: [1, 0.7]}}
    calibration:
      points:
        - {at: [0.2, 0.8], metres: [0, 0]}
        - {at: [0.8, 0.8], metres: [8, 0]}
        - {at: [0.35, 0.4], metres: [0, 40]}
        - {at: [0.65, 0.4], metres: [8, 40]}
      valid: [[0, 0.4], [1, 0.4], [1, 1], [0, 1]]
    speed_traps: {run: {from: a, to: b, metres: 21.5, sd: 0.1}}
  east:
    drawn_on: 1280x720
    calibration: {pose: {height: 8, tilt: 12, field_of_view: 60, tilt_sd: 0.3}}
  west:
    drawn_on: 1280x720
    calibration:
      road: {left: [[0.4, 0.9], [0.48, 0.4]], right: [[0.6, 0.9], [0.52, 0.4]], width: 3.5,
             marks: [{at: [0.4, 0.9], along: 0}, {at: [0.46, 0.55], along: 12}], focal_px: 1000}
"""

BAD = [
    "cameras: {north: {fps: 5}}",
    "cameras: {north: {source: a, fps: 0}}",
    "cameras: {north: {source: a, fsp: 1}}",
    "cameras: {'bad id': {source: a}}",
    "cameras: {north: {source: a, pace: slow}}",
    "cameras: {north: {source: a, loop: 'true'}}",
    "groups: {ring: {members: []}}",
    "scenes: {n: {drawn_on: 9x9, calibration: {pose: {height: 0, tilt: 9, focal_px: 9}}}}",
    "scenes: {n: {drawn_on: 9x9, calibration: {points: [{at: [0, 0], metres: [0, 0]}]}}}",
    "scenes: {n: {drawn_on: 9x9, calibration: {mode: fast}}}",
    "scenes: {n: {drawn_on: 9x9, speed_traps: {a: {from: x, to: y, metres: -1}}}}",
    "scenes: {north: {lines: {}}}",
    "scenes: {north: {drawn_on: big}}",
    "scenes: {north: {drawn_on: 9x9, lines: {a: {from: [0, 2], to: [1, 1]}}}}",
    "scenes: {north: {drawn_on: 9x9, zones: {a: {points: [[0, 0], [1, 1]]}}}}",
    "kafka: {servers: a:9092}",
    "kafka: {password: hunter2}",
    "serve: {port: 70000}",
    "aggregate: {windows_s: [61]}",
    "unknown: {}",
]


def valid(text):
    return jsonschema.Draft202012Validator(schema()).is_valid(yaml.safe_load(text))


def test_the_published_schema_is_up_to_date():
    assert PUBLISHED.read_text(encoding="utf-8") == published(), "run: python -m pipeline.config.schema"


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(schema())


def test_what_the_checks_take_the_schema_takes(tmp_path):
    (tmp_path / "f.yaml").write_text(GOOD)

    load(tmp_path / "f.yaml", {})
    assert valid(GOOD)


@pytest.mark.parametrize("text", BAD)
def test_what_the_schema_refuses_the_checks_refuse_too(text, tmp_path):
    (tmp_path / "f.yaml").write_text(text)

    assert not valid(text)
    with pytest.raises(Mistakes):
        load(tmp_path / "f.yaml", {})


def test_a_scene_alone_is_valid_and_must_say_what_it_was_drawn_on(tmp_path):
    scene = "drawn_on: 640x352\nlines: {gate: {from: [0, 0.5], to: [1, 0.5]}}"
    (tmp_path / "f.yaml").write_text(scene)

    load_scene(tmp_path / "f.yaml")
    assert valid(scene)
    assert not valid("lines: {gate: {from: [0, 0.5], to: [1, 0.5]}}")


def test_the_defaults_written_out_are_valid_again():
    assert valid(json.dumps(msgspec.to_builtins(Settings())))


def test_every_setting_of_a_process_has_a_word_about_it_or_a_name_that_needs_none():
    """Beliefs of the core are explained where they are defined."""
    speaking = {"port", "sasl_mechanism", "username"}
    parts = schema()["$defs"]
    processes = ("Kafka", "Capture", "Detect", "Track", "Aggregate", "Serve", "Metrics")
    silent = {
        f"{section}.{name}"
        for section in [*(f"{process}Settings" for process in processes), "CameraEntry"]
        for name, field in parts[section]["properties"].items()
        if "description" not in field and "$ref" not in json.dumps(field) and name not in speaking
    }

    assert silent == set()
