"""`gantry train`, as a user types it, with Ultralytics' real trainer on very little."""

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import simplejpeg
from click.testing import CliRunner

from pipeline.adapters.yolo import training
from pipeline.adapters.yolo.training import card, pictures
from pipeline.errors import Fatal, GantryError
from pipeline.simulate.journeys import recorded
from pipeline.simulate.lessons import CLASSES, Shoot, boxes
from pipeline.simulate.scenarios import scenario
from workers.train import train

pytestmark = pytest.mark.timeout(900)  # whoever asks first waits for two trainings

LITTLE = (
    "--place",
    "motorway",
    "--pictures",
    20,
    "--epochs",
    3,
    "--batch",
    5,
    "--examined",
    1,
    "--jobs",
    1,
    "--rare",
    5,
    "--rare-epochs",
    1,
)


@pytest.fixture(scope="module", autouse=True)
def extra():
    if any(importlib.util.find_spec(name) is None for name in ("ultralytics", "pycocotools")):
        pytest.skip("training is asked for: make setup EXTRAS=dev,train")


def gantry_train(*words):
    result = CliRunner().invoke(train, [str(word) for word in words])
    if isinstance(result.exception, GantryError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A training that was killed in its second epoch; then the same command again: its folder and what it said."""
    out = tmp_path_factory.mktemp("train") / "mine"
    words = [sys.executable, "-m", "workers.gantry", "train", "--out", str(out), *map(str, LITTLE)]
    environment = os.environ | {"YOLO_CONFIG_DIR": str(out.parent)}
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    last = out / "run" / "weights" / "last.pt"
    while not last.exists():
        assert first.poll() is None, "it ended before its first epoch did"
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    painted = {file.name: file.stat().st_mtime_ns for file in (out / "pictures" / "images").iterdir()}
    again = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    return out, again, painted


def test_a_training_that_was_killed_goes_on_with_the_epoch_after_the_last_whole_one(killed):
    out, _, _ = killed
    rows = csv.DictReader((out / "run" / "results.csv").read_text().splitlines())
    epochs = [int(row["epoch"]) for row in rows]

    assert epochs == [1, 2, 3]


def test_the_second_course_begins_where_the_first_one_ended(killed):
    out, _, _ = killed
    first, second = out / "weights.pt", out / "rare" / "weights.pt"

    assert len(list((out / "rare" / "pictures" / "images").iterdir())) == 5
    assert second.stat().st_mtime_ns > first.stat().st_mtime_ns
    assert (out / "gantry-s.pt").samefile(second)


def test_pictures_are_not_painted_twice(killed):
    out, _, painted = killed

    assert {file.name: file.stat().st_mtime_ns for file in (out / "pictures" / "images").iterdir()} == painted
    assert len(painted) == 20


def test_a_trained_model_comes_with_its_card_and_can_be_used(killed):
    out, again, _ = killed
    told = card.read(out / "gantry-s")
    text = (out / "gantry-s" / "card.md").read_text()

    assert told.worth[0].look == "day"
    assert {worth.look for worth in told.worth} >= {"day clear", "night rain", "all"}
    assert set(told.worth[0].by_class) == set(CLASSES)
    assert "gantry train --out" in text
    assert "--place motorway" in text
    assert "--rare 5 --rare-epochs 1" in text
    assert f"--model {out / 'gantry-s'}" in again.stdout
    assert json.loads((out / "gantry-s" / "gantry.json").read_text())["precision"] == "fp16"


def test_another_recipe_in_the_same_folder_is_refused(killed):
    out, _, _ = killed
    with pytest.raises(Fatal, match="holds a training by another recipe"):
        gantry_train("--out", out, *LITTLE, "--seed", 7)


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(Fatal, match="holds something else; name another --out"):
        gantry_train("--out", tmp_path, *LITTLE)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match=r"file.* cannot be written"):
        gantry_train("--out", tmp_path / "file" / "mine", *LITTLE)


def test_a_wrong_place_gets_the_nearest(tmp_path):
    with pytest.raises(Fatal, match="did you mean motorway"):
        gantry_train("--out", tmp_path / "mine", "--place", "motorwy")


def test_a_wrong_name_is_told(tmp_path):
    with pytest.raises(Fatal, match="take letters, digits"):
        gantry_train("--out", tmp_path / "mine", "--name", "../mine")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None if name == "pycocotools" else name)
    with pytest.raises(Fatal, match=r"make setup EXTRAS=dev,train"):
        gantry_train("--out", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_labels_are_the_true_boxes_of_the_picture(tmp_path):
    shot = Shoot(place="junction", seed=0, daylight="day", weather="clear", camera=None, times_ms=(40_000,))
    pictures.paint([shot], tmp_path, jobs=1, progress=lambda done, total: None)
    rows = [row.split() for row in (tmp_path / "labels" / "00000-00.txt").read_text().splitlines()]
    wanted = [box for box in boxes(recorded("junction", 0), scenario("junction"), 40_000) if box.taught]

    assert [CLASSES[int(row[0])] for row in rows] == [box.label for box in wanted]
    for (_, *numbers), box in zip(rows, wanted, strict=True):
        x, y, width, height = map(float, numbers)
        assert (x - width / 2, y + height / 2) == pytest.approx((box.x1, box.y2), abs=1e-5)
    assert simplejpeg.decode_jpeg((tmp_path / "images" / "00000-00.jpg").read_bytes()).shape == (360, 640, 3)


def test_pictures_of_another_data_set_are_not_mixed_in(tmp_path):
    shot = Shoot(place="junction", seed=0, daylight="day", weather="clear", camera=None, times_ms=())
    pictures.paint([shot], tmp_path, jobs=1, progress=lambda done, total: None)
    other = Shoot(place="street", seed=0, daylight="day", weather="clear", camera=None, times_ms=())
    with pytest.raises(Fatal, match="holds the pictures of another training"):
        pictures.paint([other], tmp_path, jobs=1, progress=lambda done, total: None)
