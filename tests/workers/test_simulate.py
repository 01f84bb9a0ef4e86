"""`gantry simulate`, as a user types it."""

import asyncio
import importlib.util
import json

import pytest
from click.testing import CliRunner

from pipeline.adapters.video import probe
from pipeline.errors import Fatal, GantryError
from pipeline.simulate.journeys import Recording, read, recorded, write
from pipeline.simulate.scenarios import SCENARIOS
from pipeline.simulate.truth_file import read_truth
from workers.simulate import simulate


@pytest.fixture(scope="module")
def sumo():
    if importlib.util.find_spec("libsumo") is None:
        pytest.skip("SUMO is asked for: make setup EXTRAS=dev,simulate")


@pytest.fixture
def file(tmp_path):
    """A recording of three users of the motorway."""
    whole = recorded("motorway", 1)
    few = Recording("motorway", 41, whole.step_ms, 10_000, whole.journeys[:3])
    (tmp_path / "few.traj").write_bytes(write(few))
    return tmp_path / "few.traj"


def gantry(*words):
    result = CliRunner().invoke(simulate, [str(word) for word in words])
    if isinstance(result.exception, GantryError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_list_shows_every_scenario_and_its_seeds():
    shown = gantry("list").output

    for name in SCENARIOS:
        assert name in shown
    assert shown.count("0-7") == len(SCENARIOS)


@pytest.mark.parametrize(
    "words",
    [
        ("record", "motorwy", "--seed", 1),
        ("record", "--shipped", "motorwy"),
        ("truth", "motorwy", "--seed", 1),
        ("record", "motorwy"),
    ],
)
def test_a_wrong_scenario_gets_the_nearest(words, tmp_path):
    words = (*words, "--out", tmp_path) if words[0] == "truth" else words

    with pytest.raises(Fatal, match="did you mean motorway"):
        gantry(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("record",), "gantry simulate record SCENARIO --seed N"),
        (("record", "motorway"), "gantry simulate record SCENARIO --seed N"),
        (("record", "motorway", "--seed", "-1"), "--seed"),
        (("record", "motorway", "--seed", 1, "--minutes", 0), "--minutes"),
        (("record", "motorway", "--seed", 1, "--minutes", "nan"), "Invalid value for '--minutes'"),
        (("record", "motorway", "--seed", 1, "--minutes", "1e-9"), "Invalid value for '--minutes'"),
        (("record", "motorway", "--seed", 1, "--minutes", -1), "Invalid value for '--minutes'"),
        (("record", "motorway", "--seed", 1, "--minutes", "1e9"), "Invalid value for '--minutes'"),
        (("record", "--shipped", "--seed", 1), "--shipped has its own seeds"),
        (("record", "motorway", "--sed", 1), "--seed"),
        (("truth", "motorway", "--out", "x"), "--seed N"),
        (("truth", "motorway", "--seed", 1), "--out"),
        (("truth", "motorway", "--seed", 1, "--from", "f", "--out", "x"), "--from FILE, not both"),
    ],
)
def test_wrong_words_are_told_with_the_right_ones(words, message):
    result = gantry(*words)

    assert result.exit_code == 2
    assert message in result.output


def test_truth_and_boxes_of_a_recording_are_written(file, tmp_path):
    said = gantry("truth", "motorway", "--from", file, "--out", tmp_path / "out", "--mot", "--fps", 2).output
    known = read_truth((tmp_path / "out" / "truth.json").read_bytes())
    folder = tmp_path / "out" / "mot" / "motorway-41"

    assert (known.scenario, known.seed, known.duration_ms) == ("motorway", 41, 10_000)
    assert "frameRate=2\nseqLength=20" in (folder / "seqinfo.ini").read_text()
    assert (folder / "gt" / "gt.txt").read_text().count("\n") > 3
    assert "truth.json" in said
    assert not list(tmp_path.rglob("*.unfinished"))


def test_lines_of_ones_own_are_measured_where_a_scene_is_given(file, tmp_path):
    (tmp_path / "s.yaml").write_text("drawn_on: 1280x720\nlines: {mine: {from: [0, 0.6], to: [1, 0.6]}}\n")
    gantry("truth", "motorway", "--from", file, "--scene", tmp_path / "s.yaml", "--out", tmp_path / "out")
    known = read_truth((tmp_path / "out" / "truth.json").read_bytes())

    assert [line.name for line in known.scene.lines] == ["mine"]
    assert {p.line for p in known.passages} <= {"mine"}
    assert {p.place for p in known.occupied} == {"mine"}


def test_every_frame_with_identities_and_speeds_is_written_beside_the_truth(file, tmp_path):
    said = gantry("truth", "motorway", "--from", file, "--out", tmp_path / "out", "--frames", "--fps", 2).output
    lines = [json.loads(line) for line in (tmp_path / "out" / "frames.jsonl").read_text().splitlines()]

    assert [line["t_ms"] for line in lines] == [500.0 * n for n in range(20)]
    users = [user for line in lines for user in line["users"]]
    assert users
    assert all(40 < user["speed_kmh"] < 200 and user["user"] in {12, 17} for user in users)
    assert "frames.jsonl: 2 frames a second" in said
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_recording_of_another_scenario_is_refused(file, tmp_path):
    with pytest.raises(Fatal, match=r"few\.traj is a recording of 'motorway', not of 'stopline'"):
        gantry("truth", "stopline", "--from", file, "--out", tmp_path)


def test_a_damaged_or_missing_recording_is_told_by_its_name(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(Fatal, match=r"few\.traj: this recording is cut short"):
        gantry("truth", "motorway", "--from", file, "--out", tmp_path)
    with pytest.raises(Fatal, match=r"none\.traj: No such file"):
        gantry("truth", "motorway", "--from", tmp_path / "none.traj", "--out", tmp_path)


def test_a_seed_that_is_not_shipped_is_told_with_how_to_make_it(tmp_path):
    with pytest.raises(Fatal, match="gantry simulate record motorway --seed 77"):
        gantry("truth", "motorway", "--seed", 77, "--out", tmp_path)


def test_a_folder_that_cannot_be_made_is_told(file):
    with pytest.raises(Fatal, match=r"truth\.json cannot be written: Not a directory"):
        gantry("truth", "motorway", "--from", file, "--out", file / "in")


@pytest.mark.usefixtures("sumo")
def test_record_writes_a_file_that_can_be_read(tmp_path):
    said = gantry("record", "stopline", "--seed", 5, "--minutes", 0.05, "--out", tmp_path / "s.traj").output
    made = read((tmp_path / "s.traj").read_bytes())

    assert said.startswith(str(tmp_path))

    assert (made.scenario, made.seed, made.duration_ms) == ("stopline", 5, 3000)
    assert f"{len(made.journeys)} road users" in said


def film(file, out, *words):
    return gantry("film", "motorway", "--from", file, "--out", out, "--fps", 2, "--seconds", 1, *words)


def test_a_film_says_which_traffic_it_shows(file, tmp_path):
    film(file, tmp_path / "out", "--light", "night")

    assert {each.name for each in (tmp_path / "out").iterdir()} == {
        "film.mp4", "truth.json", "frames.jsonl", "scene.yaml",
    }  # fmt: skip
    comment = asyncio.run(probe(str(tmp_path / "out/film.mp4"))).comment
    assert comment == "sim://motorway?seed=41&fps=2&light=night&weather=clear"


@pytest.mark.parametrize("name", ["film.mp4", "truth.json", "frames.jsonl", "scene.yaml"])
def test_a_film_is_written_over_what_is_there_only_by_force(file, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")

    with pytest.raises(Fatal, match=rf"{name} is there already; give another --out, or --force to write over it"):
        film(file, tmp_path)
    assert (tmp_path / name).read_bytes() == b"mine"
    film(file, tmp_path, "--force")
    assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.usefixtures("sumo")
def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("workers.simulate.run_sumo", lambda *_, **__: pytest.fail("it ran"))

    with pytest.raises(Fatal, match=r"its folder .* does not exist"):
        gantry("record", "stopline", "--seed", 5, "--out", tmp_path / "none" / "s.traj")
    with pytest.raises(Fatal, match="cannot be written"):
        gantry("record", "stopline", "--seed", 5, "--out", tmp_path)


def test_without_sumo_record_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(Fatal, match=r"EXTRAS=dev,simulate"):
        gantry("record", "stopline", "--seed", 5, "--out", tmp_path / "s.traj")


def test_a_file_that_is_there_is_written_over_only_by_force(tmp_path, monkeypatch):
    made = recorded("stopline", 1)
    monkeypatch.setattr("workers.simulate.require", lambda: None)
    monkeypatch.setattr("workers.simulate.run_sumo", lambda *_, **__: made)
    (tmp_path / "s.traj").write_bytes(b"mine")

    with pytest.raises(Fatal, match=r"s\.traj is there already; give another --out, or --force"):
        gantry("record", "stopline", "--seed", 1, "--out", tmp_path / "s.traj")
    assert (tmp_path / "s.traj").read_bytes() == b"mine"
    gantry("record", "stopline", "--seed", 1, "--out", tmp_path / "s.traj", "--force")
    assert read((tmp_path / "s.traj").read_bytes()).scenario == "stopline"
