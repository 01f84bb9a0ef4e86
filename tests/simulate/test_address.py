import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Fatal
from pipeline.simulate.address import (
    Address,
    has_pixels,
    in_comment,
    is_simulated,
    mistakes,
    of_film,
    read,
    told,
)


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("sim+detections://junction", Address(scenario="junction")),
        ("sim+detections://junction/", Address(scenario="junction")),
        ("SIM+Detections://street?seed=3", Address(scenario="street", seed=3)),
        (
            "sim+detections://junction?seed=7&fps=12.5&noise=none",
            Address(scenario="junction", seed=7, fps=12.5, noise="none"),
        ),
        (
            "sim+detections://junction?recording=/data/my%20junction.traj&seed=99",
            Address(scenario="junction", seed=99, recording="/data/my junction.traj"),
        ),
        (
            "sim+detections://junction?recording=/data/me@home.traj&traffic=9",
            Address(scenario="junction", recording="/data/me@home.traj", traffic=9),
        ),
        ("sim://junction", Address(scenario="junction", painted=True)),
        (
            "sim://street?seed=3&fps=5&light=night&weather=rain",
            Address(scenario="street", seed=3, fps=5, painted=True, light="night", weather="rain"),
        ),
    ],
)
def test_an_address_says_place_seed_rate_and_noise(source, address):
    assert mistakes(source) == []
    assert read(source) == address


BAD = [
    ("", ["names '', which is no scenario (known: junction, motorway, roundabout, stopline, street)"]),
    ("junctoin", ["names 'junctoin', which is no scenario (did you mean junction?)"]),
    ("junction/east", ["holds 'east' after the scenario; write it like sim+detections://junction?seed=7&fps=10"]),
    ("junction#east", ["holds '#east' after the scenario; write it like sim+detections://junction?seed=7&fps=10"]),
    ("junction?sede=1", ["has an unknown parameter 'sede' (did you mean seed?)"]),
    ("junction?loop=true", ["has an unknown parameter 'loop' (known: seed, fps, noise, recording, traffic)"]),
    ("junction?seed", ["needs a whole number for seed, got ''"]),
    ("junction?seed=-1", ["needs a whole number for seed, got '-1'"]),
    ("junction?seed=1.5", ["needs a whole number for seed, got '1.5'"]),
    ("junction?seed=٣", ["needs a whole number for seed, got '٣'"]),
    ("junction?seed=${env:SEED}", ["needs a whole number for seed, got '${env:SEED}'"]),
    ("junction?seed=1&seed=2", ["gives seed more than once; keep one"]),
    ("junction?fps=fast", ["needs a number from 1 to 60 for fps, got 'fast'"]),
    ("junction?fps=0.5", ["needs a number from 1 to 60 for fps, got '0.5'"]),
    ("junction?fps=61", ["needs a number from 1 to 60 for fps, got '61'"]),
    ("junction?fps=nan", ["needs a number from 1 to 60 for fps, got 'nan'"]),
    ("junction?fps=inf", ["needs a number from 1 to 60 for fps, got 'inf'"]),
    ("junction?noise=loud", ["needs one of none, low, yolov8n, high for noise, got 'loud'"]),
    ("junction?noise=" + "n" * 99, [f"needs one of none, low, yolov8n, high for noise, got '{'n' * 39}..."]),
    (
        "junction?recording=junction-9.traj",
        ["needs a path from the root for recording, like /data/junction-9.traj, got 'junction-9.traj'"],
    ),
    (
        "junction?traffic=7&seed=7",
        ["gives traffic without recording; of traffic that comes with gantry, seed says which it is"],
    ),
    ("junction?recording=/j.traj&traffic=x", ["needs a whole number for traffic, got 'x'"]),
    (
        "junction?seed=99",
        [
            (
                "has no recording with seed 99: junction comes with 0-7; make one with gantry simulate record junction"
                " --seed 99 and write recording=/path/of/junction-99.traj"
            )
        ],
    ),
]


@pytest.mark.parametrize(("rest", "words"), BAD)
def test_what_is_wrong_is_told_with_what_would_be_right(rest, words):
    assert mistakes(f"sim+detections://{rest}") == words


def test_every_mistake_is_told_at_once():
    source = "sim+detections://jnction/x?seed=a&fps=99&noise=no&speed=3"

    assert len(mistakes(source)) == 6
    with pytest.raises(Fatal) as caught:
        read(source)
    assert str(caught.value) == f"{source}: {'; '.join(mistakes(source))}"


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_text_is_too_odd_to_be_read(rest):
    assert all(words.isprintable() for words in mistakes(f"sim+detections://{rest}"))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("sim://junction?light=noon", "needs one of day, dusk, night for light, got 'noon'"),
        ("sim://junction?weather=", "needs one of clear, rain, fog for weather, got ''"),
        (
            "sim://junction?noise=low",
            "has an unknown parameter 'noise' (known: seed, fps, light, weather, recording, traffic)",
        ),
        ("sim+detections://junction?light=day", "has an unknown parameter 'light'"),
    ],
)
def test_light_and_weather_are_of_painted_cameras_and_noise_of_the_others(source, told):
    assert mistakes(source)[0].startswith(told)


@pytest.mark.parametrize(
    ("source", "pixels"), [("sim://junction", True), ("SIM+detections://junction", False), ("road.mp4", True)]
)
def test_only_cameras_of_boxes_have_no_pixels(source, pixels):
    assert has_pixels(source) is pixels


@pytest.mark.parametrize("source", ["simulated://junction", "rtsp://sim+detections", "sim+detections", "", "junction"])
def test_other_sources_are_not_taken_for_simulated_ones(source):
    assert not is_simulated(source)


@pytest.mark.parametrize(
    "rest",
    [
        "junction:hunter2@x?seed=7",
        "hunter2@junction?seed=7",
        "junction:hunter2",
        "junction:hunter2%40x",
        "joe:1234?fps=hunter2@x",
        "joe:hunter2/seed@x",
        "joe/hunter2@x",
        "joe#hunter2@x",
        "joe?hunter2@x",
        "junction?password=hunter2&seed=x",
        "junction#token=1&password=hunter2",
        "joe:${env:PASSWORD}hunter2@x",
    ],
)
def test_what_may_be_a_password_is_never_repeated(rest):
    source = f"sim+detections://{rest}"

    with pytest.raises(Fatal) as caught:
        read(source)
    for words in (str(caught.value), *mistakes(source)):
        assert "hunter2" not in words
    assert "holds a user or a password" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "traffic", "shown"),
    [
        ("sim+detections://junction?seed=3", 3, "sim+detections://junction?seed=3"),
        (
            "sim+detections://junction?seed=3&recording=/j.traj",
            9,
            "sim+detections://junction?seed=3&recording=/j.traj&traffic=9",
        ),
        (
            "sim+detections://junction?traffic=9&recording=/j.traj",
            9,
            "sim+detections://junction?traffic=9&recording=/j.traj",
        ),
    ],
)
def test_an_address_tells_its_traffic_once(source, traffic, shown):
    assert told(source, traffic) == shown
    assert told(shown, traffic) == shown


def test_a_painted_film_says_what_it_shows_as_the_address_of_its_camera():
    address = of_film("street", 7, fps=12.5, light="dusk", weather="rain")

    assert in_comment(address) == address
    assert read(address) == Address(scenario="street", seed=7, painted=True, light="dusk", weather="rain", fps=12.5)


@pytest.mark.parametrize(
    "comment",
    ["", "sim://", "sim://street", "sim://[?seed=1", "sim://street?seed=1\n", "sim://street?seed=x", "x" * 300,
     "sim://u:p@street?seed=1", "sim+detections://street?seed=1", "see sim://street?seed=1"],
)  # fmt: skip
def test_a_comment_that_says_anything_else_is_not_believed(comment):
    assert in_comment(comment) is None
