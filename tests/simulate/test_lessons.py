from collections import Counter

import pytest

from pipeline.simulate.journeys import recorded
from pipeline.simulate.lessons import (
    CLASSES,
    EXAMINE,
    LOOKS,
    PER_SHOOT,
    RARE,
    TEACH,
    Box,
    boxes,
    examination,
    rare_shoots,
    shoots,
    turned_a_little,
)
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import view

PLACES = tuple(SCENARIOS)


def taught(pictures=2100, chance=1):
    return list(shoots(PLACES, TEACH, pictures=pictures, duration_ms=300_000, chance=chance, vary=True))


def test_nobody_is_examined_on_what_was_taught():
    examined = list(examination(PLACES, each=4, duration_ms=300_000, chance=1))

    assert {shot.seed for shot in taught()} == set(TEACH)
    assert {shot.seed for shot in examined} == set(EXAMINE)
    assert not set(TEACH) & set(EXAMINE)


def test_lessons_are_the_same_for_the_same_chance_and_differ_for_another():
    assert taught() == taught()
    assert taught() != taught(chance=2)


def test_every_place_light_and_weather_is_taught():
    count = Counter((shot.daylight, shot.weather) for shot in taught())

    assert set(count) == {(daylight, weather) for daylight, weather, _ in LOOKS}
    assert count["day", "clear"] == max(count.values())
    assert {shot.place for shot in taught()} == set(PLACES)


@pytest.mark.parametrize("pictures", [20, 21, 100, 1999])
def test_there_are_as_many_pictures_as_asked_for_or_a_few_more(pictures):
    many = sum(len(shot.times_ms) for shot in taught(pictures))

    assert pictures <= many < pictures + PER_SHOOT + len(taught(pictures))


def test_every_look_of_every_place_is_examined():
    examined = list(examination(PLACES, each=4, duration_ms=300_000, chance=1))

    assert len(examined) == len(PLACES) * len(LOOKS)
    assert all(len(shot.times_ms) == 4 and shot.camera is None for shot in examined)


def test_boxes_are_the_whole_ones_of_the_truth_cut_at_the_picture():
    recording, place = recorded("junction", 1), scenario("junction")
    truth = view(recording, place.camera, 60_000)
    found = boxes(recording, place, 60_000)

    assert len(found) > 10
    assert all(0 <= b.x1 < b.x2 <= 1 and 0 <= b.y1 < b.y2 <= 1 and b.label in CLASSES for b in found)
    whole = {(round(float(x), 9), round(float(y), 9)) for x, y in zip(truth.x1, truth.y2, strict=True)}
    inner = [b for b in found if b.x1 > 0 and b.y2 < 1]
    assert inner
    assert all((round(b.x1, 9), round(b.y2, 9)) in whole for b in inner)


@pytest.mark.parametrize(
    ("height", "visible", "wanted", "is_taught"),
    [
        (12.0, 0.3, True, True),
        (11.9, 1.0, False, True),
        (40, 0.29, False, True),
        (7.9, 1.0, False, False),
        (40, 0.1, False, False),
    ],
)
def test_small_and_hidden_ones_need_not_be_found_and_the_least_of_them_are_not_taught(
    height, visible, wanted, is_taught
):
    box = Box("car", 0.1, 0.1, 0.2, 0.1 + (height + 1e-9) / 360, visible)

    assert (box.wanted, box.taught) == (wanted, is_taught)


def test_a_turned_camera_looks_at_nearly_the_same_and_is_the_same_for_the_same_chance():
    camera = scenario("street").camera

    assert turned_a_little(camera, 3) == turned_a_little(camera, 3) != turned_a_little(camera, 4)
    assert abs(turned_a_little(camera, 3).pose.z_m / camera.pose.z_m - 1) < 0.25


def rare_in(shots):
    """Wanted users of the rare classes in a picture, on average."""
    found = [
        sum(
            box.label in RARE and box.wanted
            for box in boxes(recorded(shot.place, shot.seed), scenario(shot.place), t_ms)
        )
        for shot in shots
        for t_ms in shot.times_ms
    ]
    return sum(found) / len(found)


def test_the_second_course_shows_more_of_what_is_rare_and_nothing_that_is_examined():
    rare = list(rare_shoots(("motorway",), TEACH[:2], pictures=40, chance=1))
    usual = list(shoots(("motorway",), TEACH[:2], pictures=40, duration_ms=300_000, chance=1, vary=True))

    assert rare == list(rare_shoots(("motorway",), TEACH[:2], pictures=40, chance=1))
    assert {shot.seed for shot in rare} <= set(TEACH)
    assert rare_in(rare) > 1.2 * rare_in(usual)
