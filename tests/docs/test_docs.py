"""The documentation knows every key, command, word, topic and variable there is, and its links lead somewhere."""

import re
from pathlib import Path

import click
import msgspec
import pytest
import yaml

from deploy.kafka.kafka import _settings, version
from pipeline.config.entries import (
    CalibrationEntry,
    CameraEntry,
    CrowdingEntry,
    GroundPointEntry,
    GroupEntry,
    InstallationFile,
    LineEntry,
    MarkEntry,
    MovementEntry,
    PoseEntry,
    SceneEntry,
    SpeedTrapEntry,
    StraightRoadEntry,
    ZoneEntry,
)
from pipeline.config.settings import Settings
from pipeline.core.model import Clock, GapReason
from pipeline.wire.topics import DAY_MS, HOUR_MS, MIB, MINUTE_MS, Topics
from workers.gantry import COMMANDS, PROCESSES, cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
DELIVERY = (ROOT / "docs" / "delivery.md").read_text()
README = (ROOT / "README.md").read_text()

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def rows(text):
    """The first two cells of every row of the tables in a text."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in cells if set("".join(row)) - set("-: ")]


def part(page, title):
    """What stands under a heading, or after a paragraph that begins with this key in backticks and a colon."""
    lines = page.splitlines()
    begins = [f"## {title}", f"`{title}`"]
    start = next((i for i, line in enumerate(lines) if line == begins[0] or line.startswith(begins[1])), None)
    assert start is not None, f"nothing stands under {title!r}"
    ends = (i for i in range(start + 1, len(lines)) if lines[i].startswith(("## ", "`kafka.", "`track.")))
    return "\n".join(lines[start + 1 : next(ends, len(lines))])


def sections(settings, path=""):
    """(path of the section, {key: default}) of every section of settings."""
    keys = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, msgspec.Struct):
            yield from sections(value, f"{path}.{name}".lstrip("."))
        else:
            keys[name] = value
    if keys:
        yield path, keys


def written(value):
    """A default as a person writes it."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if isinstance(value, str) else value


@pytest.mark.parametrize(("path", "keys"), list(sections(Settings())), ids=lambda p: p if isinstance(p, str) else "")
def test_every_setting_stands_in_its_section_with_its_default(path, keys):
    told = {}
    for first, second, *_ in rows(part(CONFIGURATION, path)):
        told |= dict.fromkeys(re.findall(r"`([a-z_]+)`", first), second)

    assert told.keys() == keys.keys()
    for key, default in keys.items():
        wanted = written(default)
        assert float(told[key]) == wanted if isinstance(wanted, int | float) else told[key] == wanted, f"{path}.{key}"


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("cameras", CameraEntry), ("groups", GroupEntry), ("scenes", SceneEntry), ("scenes", LineEntry), ("scenes", ZoneEntry),
        ("scenes", MovementEntry), ("scenes", CrowdingEntry),
        *(("scenes", each) for each in (CalibrationEntry, GroundPointEntry, MarkEntry, PoseEntry, SpeedTrapEntry, StraightRoadEntry)),
    ],
)  # fmt: skip
def test_every_key_of_cameras_groups_and_scenes_is_told(section, kind):
    told = re.findall(r"`([a-z_0-9]+)`", part(CONFIGURATION, section))

    assert set(kind.__struct_encode_fields__) <= set(told)


def test_every_section_of_the_file_has_a_heading():
    assert {f"## {name}" for name in InstallationFile.__struct_fields__} <= set(CONFIGURATION.splitlines())


def test_every_command_and_process_is_told():
    spoken = set(re.findall(r"`gantry ([a-z]+)", CONFIGURATION))

    assert spoken == {*COMMANDS, *PROCESSES}


def test_every_word_of_a_command_is_told():
    missing = []
    with click.Context(cli) as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            if isinstance(command, click.Group):
                told = next(row[0] for row in rows(part(CONFIGURATION, "Commands")) if f"`gantry {name} " in row[0])
                missing += [f"gantry {name} {word}" for word in command.commands if not re.search(rf"\b{word}\b", told)]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page):
    shown = re.findall(r"(?:^    |`)(gantry|make) ([a-z]+)\b", page.read_text(), re.MULTILINE)

    for program, word in shown:
        assert word in ({*COMMANDS, *PROCESSES} if program == "gantry" else words_of_make()), f"{program} {word}"


def words_of_make():
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_word_of_make_is_told():
    assert words_of_make() == set(re.findall(r"`make ([a-z]+)`", part(CONFIGURATION, "Commands")))


def test_every_topic_is_told_as_it_is():
    told = {row[0].strip("`"): row for row in rows(part(ARCHITECTURE, "Topics"))}
    idle = re.findall(r"`([a-z-]+)`", ARCHITECTURE.partition("nothing writes or reads them yet:")[2].splitlines()[0])

    topics = Topics().specs
    assert {*told, *idle} - {"topic"} == set(topics)
    for name in topics.keys() - set(idle):
        assert told[name][3] == str(topics[name].partitions), name
        assert told[name][4] == kept(topics[name]), name


def kept(topic):
    if topic.compacted:
        return "latest of each key"
    if topic.writer == "nobody":
        return "-"
    units = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS))
    unit, ms = next((unit, ms) for unit, ms in units if topic.retention_ms % ms == 0)
    number = topic.retention_ms // ms
    size = f", {topic.retention_bytes // MIB} MiB a partition" if topic.retention_bytes else ""
    return f"{number} {unit}{'s' if number > 1 else ''}{size}"


def test_every_clock_and_every_reason_that_is_written_is_told():
    assert {f"`{clock}`" for clock in Clock} <= set(re.findall(r"`[a-z]+`", DELIVERY))
    assert f"`{GapReason.LOST}`" in ARCHITECTURE
    assert f"`{GapReason.OVERFLOW}`" in ARCHITECTURE


def test_every_variable_of_ours_is_told():
    read = set()
    for folder in ("pipeline", "workers", "deploy", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"environ(?:\.get)?[(\[]\s*\"(GANTRY_[A-Z_]+)\"", path.read_text()))
            read |= set(re.findall(r"envvar=\"(GANTRY_[A-Z_]+)\"", path.read_text()))

    assert len(read) > 5
    assert read - {"GANTRY_WRITE_GOLDEN"} <= set(re.findall(r"`(GANTRY_[A-Z_]+)`", CONFIGURATION))


def test_every_address_of_the_api_is_in_the_readme():
    api = (ROOT / "pipeline" / "adapters" / "http" / "api.py").read_text()
    there = {address.replace("{camera_id:str}", "{id}") for address in re.findall(r"@get\(\s*\"([^\"]+)\"", api)}

    assert len(there) > 5
    assert {address for address in there if f"`{address}`" not in README} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in {h.lower().replace(" ", "-") for h in HEADING.findall(there.read_text())}, target


def test_the_yaml_of_the_readme_is_an_installation_and_a_scene(tmp_path):
    from pipeline.config import load, load_scene  # noqa: PLC0415 - beside its use

    scene, installation = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "scene.yaml").write_text(scene)
    (tmp_path / "gantry.yaml").write_text(installation)

    assert [line.name for line in load_scene(tmp_path / "scene.yaml").lines] == ["near"]
    assert [camera.id for camera in load(tmp_path / "gantry.yaml", {}).cameras] == ["main-street"]


def test_the_broker_in_a_container_is_set_as_the_one_on_the_local_jvm():
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]
    given = {
        k[6:].lower().replace("_", "."): str(v) for k, v in service["environment"].items() if k != "KAFKA_HEAP_OPTS"
    }
    ours = dict(line.split("=", 1) for line in _settings(Path("/data"), 9092, 9093).splitlines())
    of_a_container = {"log.dirs", "listeners"}

    assert service["image"].rpartition(":")[2] == version()
    assert {k: v for k, v in given.items() if k not in of_a_container} == {
        k: v for k, v in ours.items() if k not in of_a_container
    }
