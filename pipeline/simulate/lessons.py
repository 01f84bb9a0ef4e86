"""What a model learns from: moments of simulated traffic, in every light and weather, with exact boxes.

Even seeds teach, odd seeds examine, as everywhere in gantry. Nothing is ever chosen by looking at the odd ones.
"""

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.simulate.camera import Array, Pinhole
from pipeline.simulate.journeys import Recording, recorded
from pipeline.simulate.pixels.light import Daylight, Weather
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.view import view

CLASSES = ("car", "truck", "bus", "motorcycle", "bicycle", "person")
"""In the order of the model's classes."""

TEACH, EXAMINE = (0, 2, 4, 6), (1, 3, 5, 7)
"""Seeds of the recordings that come with gantry."""

LOOKS: tuple[tuple[Daylight, Weather, int], ...] = (
    ("day", "clear", 9), ("day", "rain", 2), ("day", "fog", 2), ("dusk", "clear", 2), ("dusk", "rain", 1),
    ("dusk", "fog", 1), ("night", "clear", 2), ("night", "rain", 1), ("night", "fog", 1),
)  # fmt: skip
"""Daylight, weather, and how many of 21 shoots have them."""

PICTURE = (640, 360)
"""Width and height in px that capture sends and that heights are measured in."""

LEAST_PX, LEAST_VISIBLE = 12.0, 0.3
"""Lower boxes and users who are hidden more are neither wanted nor held against a model that finds them."""

TAUGHT_PX, TAUGHT_VISIBLE = 8.0, 0.15
"""A little below that, users are still taught: a model that is told they are nothing learns the wrong thing."""

PER_SHOOT = 20


class Shoot(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures of one place, by one camera, in one light."""

    place: str
    seed: int
    daylight: Daylight
    weather: Weather
    camera: int | None  # the seed of a camera that hangs a little differently; None: the place's own
    times_ms: tuple[int, ...]


class Box(msgspec.Struct, frozen=True):
    """A road user in a picture: its class and its whole box, cut at the picture's edge."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    visible: float

    @property
    def height_px(self) -> float:
        """Of a picture of the size PICTURE."""
        return (self.y2 - self.y1) * PICTURE[1]

    @property
    def wanted(self) -> bool:
        """Whether a model must find it."""
        return self.height_px >= LEAST_PX and self.visible >= LEAST_VISIBLE

    @property
    def taught(self) -> bool:
        """Whether a model is taught it."""
        return self.height_px >= TAUGHT_PX and self.visible >= TAUGHT_VISIBLE


def shoots(
    places: tuple[str, ...], seeds: tuple[int, ...], *, pictures: int, duration_ms: int, chance: int, vary: bool
) -> Iterator[Shoot]:
    """So many pictures, spread evenly over places, seeds and looks.

    Args:
        places: names of scenarios.
        seeds: of their recordings.
        pictures: how many in all, rounded up to whole shoots of at most PER_SHOOT.
        duration_ms: of the recordings.
        chance: seed of what is drawn.
        vary: whether every other shoot has a camera of its own.
    """
    draw = np.random.default_rng((chance, 77))
    many = max(1, math.ceil(pictures / PER_SHOOT))
    each = math.ceil(pictures / many)
    for number in range(many):
        place = places[number % len(places)]
        daylight, weather = _look(number, len(places))
        times = np.sort(draw.choice(duration_ms // 200, size=each, replace=False)) * 200 + draw.integers(0, 200)
        yield Shoot(
            place=place,
            seed=seeds[number // len(places) % len(seeds)],
            daylight=daylight,
            weather=weather,
            camera=int(draw.integers(2**31)) if vary and number % 2 else None,
            times_ms=tuple(int(t) for t in times if t < duration_ms),
        )


_SHOWN = [(daylight, weather) for daylight, weather, share in LOOKS for _ in range(share)]


def _look(number: int, places: int) -> tuple[Daylight, Weather]:
    """Of a shoot, so that every place has all looks in turn."""
    return _SHOWN[(number // places * 8 + number) % len(_SHOWN)]


RARE = ("truck", "bus", "motorcycle", "bicycle")
"""What is seldom on the road: of ten users six are cars."""

_LOOK_EVERY_MS = 1000


def rare_shoots(places: tuple[str, ...], seeds: tuple[int, ...], *, pictures: int, chance: int) -> Iterator[Shoot]:
    """So many pictures of moments when many rare users are to be seen, spread over places, seeds and looks.

    A moment counts for every rare user that is wanted, those of a class the more the fewer of it there are.

    Args:
        places: names of scenarios.
        seeds: of the recordings that come with gantry.
        pictures: how many in all, rounded up to whole shoots of at most PER_SHOOT.
        chance: seed of what is drawn.
    """
    draw = np.random.default_rng((chance, 79))
    weights = {(place, seed): _rare_moments(place, seed) for place in places for seed in seeds}
    many = max(1, math.ceil(pictures / PER_SHOOT))
    for number in range(many):
        place, seed = places[number % len(places)], seeds[number // len(places) % len(seeds)]
        daylight, weather = _look(number, len(places))
        moments, worth = weights[place, seed]
        times = draw.choice(
            moments, size=min(math.ceil(pictures / many), int(np.count_nonzero(worth))), replace=False, p=worth
        )
        yield Shoot(
            place=place,
            seed=seed,
            daylight=daylight,
            weather=weather,
            camera=int(draw.integers(2**31)) if number % 2 else None,
            times_ms=tuple(sorted(int(t) + int(draw.integers(0, _LOOK_EVERY_MS // 2)) for t in times)),
        )


def _rare_moments(name: str, seed: int) -> tuple[NDArray[np.int64], Array]:
    """Moments of a recording, and the probability with which each is drawn."""
    recording, place = recorded(name, seed), scenario(name)
    moments = np.arange(0, recording.duration_ms - _LOOK_EVERY_MS, _LOOK_EVERY_MS)
    there = np.zeros((len(moments), len(RARE)))
    for row, t_ms in enumerate(moments):
        for box in boxes(recording, place, float(t_ms)):
            if box.label in RARE and box.wanted:
                there[row, RARE.index(box.label)] += 1
    worth = (there / np.maximum(there.sum(axis=0), 1)).sum(axis=1)
    return moments, worth / worth.sum() if worth.sum() > 0 else np.full(len(moments), 1 / len(moments))


def turned_a_little(camera: Pinhole, chance: int) -> Pinhole:
    """The camera on another mast near by, with another lens."""
    draw = np.random.default_rng((chance, 5))
    pose = camera.pose
    return msgspec.structs.replace(
        camera,
        pose=msgspec.structs.replace(
            pose,
            x_m=pose.x_m + draw.normal(0, 1.0),
            y_m=pose.y_m + draw.normal(0, 1.0),
            z_m=pose.z_m * draw.uniform(0.85, 1.2),
            heading_rad=pose.heading_rad + math.radians(draw.normal(0, 4)),
            tilt_rad=pose.tilt_rad + math.radians(draw.uniform(-2, 4)),
            roll_rad=math.radians(draw.normal(0, 1)),
        ),
        lens=msgspec.structs.replace(camera.lens, focal_px=camera.lens.focal_px * draw.uniform(0.9, 1.15)),
    )


def boxes(recording: Recording, place: Scenario, t_ms: float) -> list[Box]:
    """Everyone of the classes of whom anything is visible at a moment."""
    seen = view(recording, place.camera, t_ms)
    cut = np.clip(np.column_stack([seen.x1, seen.y1, seen.x2, seen.y2]), 0.0, 1.0).tolist()
    return [
        Box(label, x1, y1, x2, y2, float(visible))
        for label, (x1, y1, x2, y2), visible in zip(seen.label, cut, seen.visible, strict=True)
        if label in CLASSES and x1 < x2 and y1 < y2 and visible > 0
    ]


def examination(places: tuple[str, ...], *, each: int, duration_ms: int, chance: int) -> Iterator[Shoot]:
    """So many pictures of every place in every light and weather, by the places' own cameras, of seeds nobody was taught."""
    draw = np.random.default_rng((chance, 78))
    for number, (daylight, weather, _) in enumerate(LOOKS):
        for other, place in enumerate(places):
            times = np.sort(draw.choice(duration_ms // 1000, size=each, replace=False)) * 1000
            yield Shoot(
                place=place,
                seed=EXAMINE[(number + other) % len(EXAMINE)],
                daylight=daylight,
                weather=weather,
                camera=None,
                times_ms=tuple(int(t) for t in times),
            )
