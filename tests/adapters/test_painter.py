"""Painted pictures, by looking at their pixels."""

import cv2
import numpy as np
import pytest

from pipeline.adapters.painter import Looks, Painter
from pipeline.simulate.journeys import Recording, recorded
from pipeline.simulate.pixels.light import DAYLIGHTS, WEATHERS
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import view

T_MS = 60_000


def painter(name="motorway", *looks, recording=None, **more):
    return Painter(recording or recorded(name, 1), scenario(name), Looks(*looks, **more))


def without(recording):
    """The same place, nobody there."""
    return Recording(
        recording.scenario, recording.seed, recording.step_ms, recording.duration_ms, recording.journeys[:1]
    )


def test_the_same_arguments_give_the_same_pixels():
    one, two = (painter("motorway", "dusk", "rain", seed=4).picture(T_MS) for _ in range(2))

    assert np.array_equal(one, two)


def test_another_seed_has_other_grain_and_the_same_scene():
    one, two = (painter(seed=seed, quality=None).picture(T_MS).astype(int) for seed in (1, 2))

    assert 0.2 < np.abs(one - two).mean() < 4


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_picture_has_the_size_of_the_camera(name):
    pixels = painter(name).picture(T_MS)

    assert (pixels.shape, pixels.dtype) == ((scenario(name).size.height, scenario(name).size.width, 3), np.uint8)


def test_pixels_change_where_the_truth_has_somebody_and_nowhere_else():
    recording, place = recorded("motorway", 1), scenario("motorway")
    there = painter(quality=None).picture(T_MS).astype(int)
    empty = painter(quality=None, recording=without(recording)).picture(T_MS).astype(int)
    changed = np.abs(there - empty).max(axis=2) > 40
    truth, seen, height, width = view(recording, place.camera, T_MS), np.zeros(changed.shape, bool), *changed.shape
    for n in range(len(truth)):
        x1, x2 = sorted(np.clip([truth.x1[n] * width, truth.x2[n] * width], 0, width))
        y1, y2 = sorted(np.clip([truth.y1[n] * height, truth.y2[n] * height], 0, height))
        box = (slice(int(y1), int(y2) + 1), slice(int(x1), int(x2) + 1))
        if truth.inside[n] > 0.9 and truth.visible[n] > 0.9 and y2 - y1 > 20:
            assert changed[box].mean() > 0.35, f"user {n} is not painted"
        seen[max(0, int(y1) - 6) : int(y2) + 6, max(0, int(x1) - 6) : int(x2 + (x2 - x1)) + 6] = True
    assert changed[~seen].sum() < 0.002 * changed.size, "shadows fall to the right of who throws them"


def test_who_is_before_another_hides_it():
    """Painted with the nearer one, the farther one's hidden pixels do not depend on its colour."""
    recording, place = recorded("junction", 1), scenario("junction")
    for t_ms in range(10_000, 290_000, 500):
        truth = view(recording, place.camera, t_ms)
        hidden = [n for n in range(len(truth)) if truth.visible[n] == 0 and truth.inside[n] > 0.9]
        if hidden:
            break
    kept = [j for i, j in enumerate(recording.journeys) if i not in {int(truth.index[n]) for n in hidden}]
    less = Recording("junction", 1, recording.step_ms, recording.duration_ms, tuple(kept))
    one = painter("junction", quality=None).picture(t_ms).astype(int)
    two = painter("junction", quality=None, recording=less).picture(t_ms).astype(int)

    assert (np.abs(one - two).max(axis=2) > 25).sum() < 400, "hardly more than edges and shadows"


@pytest.mark.parametrize("weather", WEATHERS)
def test_it_gets_darker_towards_the_night(weather):
    means = [painter("junction", daylight, weather).picture(T_MS).mean() for daylight in DAYLIGHTS]

    assert means[0] > means[1] > 1.5 * means[2]


def test_lamps_are_the_brightest_by_night():
    pixels = painter("motorway", "night", "clear", quality=None).picture(T_MS)

    assert pixels.max() == 255
    assert np.median(pixels) < 40


def test_fog_takes_the_contrast_of_what_is_far():
    clear, fog = (painter("junction", "day", weather, quality=None).picture(T_MS) for weather in ("clear", "fog"))
    far = (slice(60, 180), slice(200, 1000))

    assert fog[far].std() < 0.5 * clear[far].std()


def test_rain_falls():
    clear, rain = (painter("junction", "day", weather, quality=None).picture(T_MS) for weather in ("clear", "rain"))

    def upright(pixels):  # fine upright lines
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(float)[560:, 300:900]
        return np.abs(np.diff(cv2.blur(grey, (1, 9)), axis=1)).std()

    assert upright(rain) > 1.3 * upright(clear)


def test_the_picture_sways_with_the_mast():
    place = scenario("junction")
    times = np.arange(0, 20_000, 50)
    low, high = (f(times, key=lambda t: place.camera.shake.at(t)[0]) for f in (min, max))
    still = painter("junction", quality=None, recording=without(recorded("junction", 1)))
    one, two = (
        cv2.cvtColor(still.picture(float(t)), cv2.COLOR_BGR2GRAY)[250:500].astype(np.float32) for t in (low, high)
    )
    (moved, _), _ = cv2.phaseCorrelate(one, two)

    wanted = place.camera.shake.at(float(high))[0] - place.camera.shake.at(float(low))[0]
    assert moved == pytest.approx(wanted, abs=0.4)


def test_jpeg_artefacts_are_there_unless_they_are_not_wanted():
    coarse, fine = (painter(quality=quality).picture(T_MS).astype(int) for quality in (30, None))

    assert np.abs(coarse - fine).mean() > 1


def test_pictures_come_at_the_cameras_rate_until_the_recording_ends():
    whole = recorded("motorway", 1)
    short = Recording("motorway", 1, whole.step_ms, 1000, whole.journeys[:2])

    assert [t for t, _ in painter(recording=short).pictures(3)] == [0, 333, 667]
