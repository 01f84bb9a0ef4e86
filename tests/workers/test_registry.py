"""`gantry cameras|scenes|groups|topics` on a real Kafka, as a person types them."""

import asyncio

import pytest
from click.testing import CliRunner

from pipeline.adapters.kafka import Kafka
from pipeline.wire.topics import Sizes, Topics
from workers.gantry import cli

FILE = """\
kafka:
  servers: [SERVERS]
  prefix: PREFIX
  sizes: {frames: 6, shards: 3, capture_shards: 4}
cameras:
  north: {source: "rtsp://${env:CAM_USER}:${env:CAM_PASSWORD}@10.0.0.1/1", fps: 10}
  south: {source: south.mp4}
groups:
  ring: {name: Ring road, members: [north, south]}
scenes:
  north: {drawn_on: 1280x720, lines: {gate: {from: [0, 0.5], to: [1, 0.5]}}}
"""


@pytest.fixture
def file(tmp_path, kafka, topics):
    path = tmp_path / "gantry.yaml"
    path.write_text(FILE.replace("SERVERS", ", ".join(kafka.servers)).replace("PREFIX", topics.prefix))
    return path


def gantry(*arguments):
    """(exit code, output); what a person sees, whatever the width of a terminal."""
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 1, str(done.exception)
    return done.exit_code, done.output


def table(text):
    return [line.split() for line in text.splitlines() if line.strip() and "─" not in line]


@pytest.mark.kafka
def test_a_file_is_applied_listed_applied_again_and_removed(file):
    code, said = gantry("cameras", "apply", file)
    assert code == 0
    assert said.splitlines() == [
        "camera north: added, revision 1, frames partition 1",
        "camera south: added, revision 1, frames partition 0",
        f"{file} holds scenes too: gantry scenes apply {file}",
        f"{file} holds groups too: gantry groups apply {file}",
    ]
    assert gantry("scenes", "apply", file) == (0, "scene north: added, revision 1\n")
    assert gantry("groups", "apply", file) == (0, "group ring: added, revision 1\n")

    code, listed = gantry("cameras", "list", "--config", file)
    assert code == 0
    assert table(listed) == [
        ["camera", "source", "fps", "time", "zone", "frames", "shard", "capture", "shard", "revision", "scene"],
        ["north", "rtsp://***@10.0.0.1/1", "10", "UTC", "1", "0", "0", "1", "1", "lines,", "0", "zones"],
        ["south", str(file.parent / "south.mp4"), "all", "UTC", "0", "1", "1", "1", "-"],
    ]
    assert table(gantry("scenes", "list", "--config", file)[1])[1] == ["north", "1280x720", "gate", "-", "1"]
    assert table(gantry("groups", "list", "--config", file)[1])[1] == [
        *("ring", "site", "Ring", "road", "north,", "south", "1")
    ]

    file.write_text(file.read_text().replace("fps: 10", "fps: 12"))
    code, said = gantry("cameras", "apply", file)
    assert said.startswith("camera north: changed, revision 2\n1 camera unchanged\n")

    assert gantry("cameras", "remove", "north", "--config", file) == (
        0,
        "camera north: removed\nscene of north: removed\nplacement of north: removed\ngroup ring: changed\n",
    )
    assert [row[0] for row in table(gantry("cameras", "list", "--config", file)[1])] == ["camera", "south"]
    assert gantry("scenes", "list", "--config", file) == (0, "no scenes are registered: gantry scenes apply FILE\n")


@pytest.mark.kafka
def test_removing_an_unknown_camera_removes_nothing_and_says_so(file):
    gantry("cameras", "apply", file)

    assert gantry("cameras", "remove", "north", "west", "--config", file) == (
        1,
        "no such camera: west; registered are: north, south; nothing was removed",
    )
    assert len(table(gantry("cameras", "list", "--config", file)[1])) == 3


@pytest.mark.kafka
def test_a_single_scene_is_applied_to_the_camera_that_is_named(file, tmp_path):
    gantry("cameras", "apply", file)
    scene = tmp_path / "scene.yaml"
    scene.write_text("drawn_on: 640x352\nlines: {gate: {from: [0, 0.5], to: [1, 0.5]}}\n")

    assert gantry("scenes", "apply", scene, "--camera", "south", "--config", file) == (
        0,
        "scene south: added, revision 1\n",
    )
    code, said = gantry("scenes", "apply", scene, "--camera", "west", "--config", file)
    assert (code, said) == (1, "there is no camera west; registered are: north, south")
    code, said = gantry("scenes", "apply", scene, "--config", file)
    assert code == 1
    assert "holds a single scene" in said
    assert "--camera ID" in said


@pytest.mark.kafka
def test_a_scene_whose_camera_only_the_registry_knows_is_taken_and_one_of_no_camera_is_not(file):
    gantry("cameras", "apply", file)
    text = file.read_text()
    head, tail = text.split("cameras:\n")[0], text.split("scenes:\n")[1]
    file.write_text(f"{head}scenes:\n{tail}")
    assert gantry("scenes", "apply", file)[0] == 0

    file.write_text(f"{head}scenes:\n{tail.replace('north', 'nowhere')}")
    assert gantry("scenes", "apply", file) == (
        1,
        f"{file}:6: scenes.nowhere: is a scene of no camera: there is no camera 'nowhere'",
    )


@pytest.mark.kafka
def test_sizes_that_are_not_the_topics_are_refused_before_anything_is_written(file):
    file.write_text(file.read_text().replace("frames: 6", "frames: 12"))

    code, said = gantry("cameras", "apply", file)
    assert code == 1
    assert "topic frames has 6 partitions, but the settings say kafka.sizes.frames: 12" in said
    assert gantry("cameras", "list", "--config", file)[1].startswith("no cameras are registered")


@pytest.mark.kafka
def test_topics_are_checked_made_and_their_differences_told(file, kafka, topics):
    assert gantry("topics", "apply", "--config", file) == (0, "all topics are as they should be\n")
    assert gantry("topics", "apply", "--check", "--config", file)[0] == 0

    other = f"{topics.prefix}other."
    servers = ",".join(kafka.servers)
    code, said = gantry("topics", "apply", "--check", "--kafka", servers, "--prefix", other)
    assert code == 1
    assert f"topic {other}frames does not exist" in said
    code, said = gantry("topics", "apply", "--config", file, "--prefix", other)
    assert code == 0
    assert f"{other}frames" in said
    assert said.endswith("all topics are as they should be\n")

    file.write_text(file.read_text().replace("shards: 3", "shards: 5"))
    code, said = gantry("topics", "apply", file)
    assert code == 1
    assert f"topic {topics.prefix}detections has 3 partitions, it should have 5" in said
    there = Kafka(
        servers=kafka.servers, topics=Topics(other, Sizes(frames=6, shards=3, capture_shards=4)), client_id="t"
    )
    assert asyncio.run(there.topics_differ()) == []


def test_without_kafka_a_command_waits_says_so_and_gives_up_with_what_to_do(unused_tcp_port):
    servers = f"127.0.0.1:{unused_tcp_port}"
    code, said = gantry("cameras", "list", "--kafka", servers, "--wait", "0.5")

    assert code == 1
    assert said == f"no Kafka at {servers} after 0.5 s: start it, or name another with --kafka"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cameras", "apply", "none.yaml"), "none.yaml: there is no such file"),
        (("scenes", "apply", "none.yaml"), "none.yaml: there is no such file"),
        (("groups", "apply", "none.yaml"), "none.yaml: there is no such file"),
        (("topics", "apply", "none.yaml"), "none.yaml: there is no such file"),
        (("cameras", "list", "--kafka", "here"), "--kafka: must be host:port, like localhost:9092, got 'here'"),
        (("cameras", "list", "--prefix", "a/b"), "--prefix: must be text that matches"),
        (("cameras", "list", "--config", "none.yaml"), "none.yaml: there is no such file"),
    ],
)
def test_a_command_that_cannot_begin_says_why(arguments, said):
    code, got = gantry(*arguments)

    assert code == 1
    assert got.startswith(said)
