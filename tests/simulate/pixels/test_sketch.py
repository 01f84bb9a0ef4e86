import math

import numpy as np
import pytest

from pipeline.simulate.journeys import Journey, Recording, recorded
from pipeline.simulate.pixels.light import light
from pipeline.simulate.pixels.sketch import hull, sketch, street_light, veiled
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import view

DAY, NIGHT, FOG = light("day", "clear"), light("night", "clear"), light("day", "fog")


def standing(number, x, y, *, heading=0.0, label="car", size=(4.5, 1.8, 1.5)):
    length, width, height = size
    return Journey(
        id=number, label=label, length_m=length, width_m=width, height_m=height, origin="a", destination="b", from_ms=0,
        x_m=np.array([x, x]), y_m=np.array([y, y]), heading_rad=np.array([heading, heading]),
    )  # fmt: skip


def scene(*journeys):
    return Recording("motorway", 1, 1000, 1000, journeys)


def bounds(shape):
    return (*shape.outline.min(axis=0), *shape.outline.max(axis=0))


def overlap(one, two):
    both = np.prod(np.maximum(0, np.minimum(one[1], two[1]) - np.maximum(one[0], two[0])))
    return both / (np.prod(one[1] - one[0]) + np.prod(two[1] - two[0]) - both)


@pytest.mark.parametrize("name", SCENARIOS)
def test_who_is_drawn_fills_the_box_that_the_truth_has(name):
    """The truth boxes the whole cuboid; roofs are narrower than it, so what is drawn is a little smaller, never larger."""
    recording, place = recorded(name, 1), scenario(name)
    size, overlaps = np.array([place.size.width, place.size.height]), []
    for t_ms in (20_000.0, 90_000.0):
        truth = view(recording, place.camera, t_ms)
        boxes = {
            recording.journeys[index].id: np.array([(x1, y1), (x2, y2)]) * size
            for index, x1, y1, x2, y2, label, inside in zip(
                truth.index, truth.x1, truth.y1, truth.x2, truth.y2, truth.label, truth.inside, strict=True
            )
            if inside > 0.999 and label != "person" and (y2 - y1) * size[1] > 12
        }
        for shape in sketch(recording, place, DAY, t_ms).shapes:
            if shape.user in boxes:
                box, drawn = boxes[shape.user], np.array(bounds(shape)).reshape(2, 2)
                overlaps.append(overlap(box, drawn))
                assert np.all(drawn[0] >= box[0] - 1)
                assert np.all(drawn[1] <= box[1] + 1)
    assert len(overlaps) >= 5
    assert np.median(overlaps) > 0.8
    assert min(overlaps) > 0.45


def test_the_nearer_one_is_painted_later():
    place = scenario("motorway")
    drawn = sketch(scene(standing(0, 30, -5), standing(1, 60, -5), standing(2, 45, -5)), place, DAY, 0)
    heights = [bounds(shape)[3] for shape in drawn.shapes]

    assert heights == sorted(heights)


def test_a_long_lorry_does_not_cover_the_car_beside_its_front():
    """Its middle is nearer than the car; but the car is on the camera's side of its flank."""
    place = scenario("motorway")
    lorry = standing(0, 40, -11, label="truck", size=(16.5, 2.55, 3.95))
    car = standing(1, 44, -7.4)
    for users in ((lorry, car), (car, lorry)):
        widths = [bounds(shape)[2] - bounds(shape)[0] for shape in sketch(scene(*users), place, DAY, 0).shapes]
        assert widths[0] > widths[1], "the car, which is the narrower one, comes last"


def test_shadows_fall_away_from_the_sun_and_only_where_it_shines():
    place = scenario("motorway")
    one = scene(standing(0, 40, -5))

    assert len(sketch(one, place, DAY, 0).shadows) == 1
    assert sketch(one, place, FOG, 0).shadows == []
    assert sketch(one, place, NIGHT, 0).shadows == []
    shadow = sketch(one, place, DAY, 0).shadows[0] / 16
    (shape,) = sketch(one, place, DAY, 0).shapes
    assert shadow[:, 0].max() > bounds(shape)[2], "the sun stands to the left of the camera"


def test_lamps_shine_by_night_towards_whoever_they_point_at():
    place = scenario("motorway")
    away, coming = scene(standing(0, 40, -5)), scene(standing(0, 40, -5, heading=math.pi))

    assert not sketch(away, place, DAY, 0).shapes[0].glows
    (back,), (front,) = sketch(away, place, NIGHT, 0).shapes, sketch(coming, place, NIGHT, 0).shapes
    assert [glow.colour[0] > 2 * glow.colour[2] for glow in back.glows] == [True, True], "red"
    assert [glow.colour[0] > 2 * glow.colour[2] for glow in front.glows] == [False, False], "white"


def test_fog_takes_contrast_with_distance():
    place = scenario("motorway")

    def contrast(x, lit):
        (shape,) = sketch(scene(standing(0, x, -5)), place, lit, 0).shapes
        colours = np.array(shape.colours)
        return colours.max() - colours.min()

    assert contrast(100, FOG) < 0.6 * contrast(30, FOG)
    assert contrast(100, DAY) > 0.9 * contrast(30, DAY)


def test_what_is_seen_through_much_air_has_the_colour_of_the_air():
    far = veiled(np.array([10.0, 10.0, 10.0]), np.array(5000.0), FOG)

    assert far == pytest.approx(FOG.fog_colour, abs=0.5)


def test_street_lamps_light_what_is_near_them():
    place = scenario("junction")
    x, y = place.ground.lamps[0]

    assert street_light(place, np.array(x), np.array(y)) > 4 * street_light(place, np.array(x - 40), np.array(y - 40))


def test_nobody_is_drawn_on_an_empty_road():
    assert sketch(scene(standing(0, -40, 0)), scenario("motorway"), DAY, 0).shapes == []


def test_a_user_beside_the_camera_is_drawn_as_far_as_it_is_ahead():
    place = scenario("motorway")
    shapes = sketch(scene(standing(0, 9.0, -3, size=(12.0, 2.5, 3.0), label="bus")), place, DAY, 0).shapes

    assert all(np.isfinite(shape.outline).all() for shape in shapes)


def test_a_hull_goes_round_its_points():
    points = np.array([(0, 0), (4, 0), (4, 3), (0, 3), (2, 1), (1, 2)], dtype=float)

    assert {tuple(p) for p in hull(points)} == {(0, 0), (4, 0), (4, 3), (0, 3)}
