"""The model that comes with gantry: small enough, whole, and it finds what it was made for."""

import pytest
import simplejpeg

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.yolo import folder, load_model
from pipeline.adapters.yolo.training import card
from pipeline.core.model import Detections
from pipeline.simulate.journeys import recorded
from pipeline.simulate.lessons import CLASSES, EXAMINE, boxes
from pipeline.simulate.scenarios import scenario

MOST_BYTES = 6 * 1024 * 1024
NAMES = [path.name for path in folder.SHIPPED.iterdir() if path.is_dir()]


@pytest.fixture(params=NAMES)
def shipped(request):
    return folder.SHIPPED / request.param


def test_one_comes_with_gantry():
    assert NAMES == ["gantry-s"]


def test_it_is_small_and_whole(shipped):
    assert sum(file.stat().st_size for file in shipped.iterdir()) <= MOST_BYTES
    assert list(folder.read(shipped).traits.labels.values()) == list(CLASSES)


def test_its_card_says_what_it_is_worth_and_how_it_is_made_again(shipped):
    told, text = card.read(shipped), (shipped / card.TEXT).read_text()
    day = next(worth for worth in told.worth if worth.look == "day")

    assert f"gantry train --out gantry-s-training --name {shipped.name} --pictures {told.recipe['pictures']}" in text
    assert f"| day | {day.pictures} | {day.map50:.3f} |" in text
    assert "no foreign weights" in text


def overlap(one, two):
    across = min(one.x2, two[2]) - max(one.x1, two[0])
    down = min(one.y2, two[3]) - max(one.y1, two[1])
    both = max(0, across) * max(0, down)
    return both / ((one.x2 - one.x1) * (one.y2 - one.y1) + (two[2] - two[0]) * (two[3] - two[1]) - both)


async def test_it_finds_most_vehicles_of_traffic_that_it_was_not_taught(shipped):
    model = load_model(shipped)
    found = wanted = 0
    try:
        for place, seed in (("motorway", EXAMINE[0]), ("junction", EXAMINE[1])):
            painter = Painter(recorded(place, seed), scenario(place), Looks())
            for t_ms in (30_000, 90_000, 150_000):
                jpeg = simplejpeg.encode_jpeg(painter.picture(t_ms), quality=90, colorspace="BGR")
                (seen,) = await model.detect([jpeg])
                assert isinstance(seen, Detections)
                rows = [
                    row for row in zip(seen.x1, seen.y1, seen.x2, seen.y2, seen.score, strict=True) if row[4] >= 0.25
                ]
                for box in boxes(recorded(place, seed), scenario(place), t_ms):
                    if box.label in {"car", "truck", "bus"} and box.wanted and box.height_px > 20 and box.visible > 0.7:
                        wanted += 1
                        found += any(overlap(box, row) > 0.5 for row in rows)
    finally:
        model.close()

    assert wanted > 20
    assert found / wanted > 0.85
