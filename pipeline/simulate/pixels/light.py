"""What shines on a place, and what the weather does to it: the time of day and the weather, as numbers for a painter.

Colours are red, green, blue from 0 to 255, as a camera with fixed white balance would give them.
"""

from typing import Literal, get_args

import msgspec
import numpy as np

from pipeline.simulate.pixels.meshes import Array, Paint

Daylight = Literal["day", "dusk", "night"]
Weather = Literal["clear", "rain", "fog"]

DAYLIGHTS: tuple[Daylight, ...] = get_args(Daylight)
WEATHERS: tuple[Weather, ...] = get_args(Weather)

Colour = tuple[float, float, float]


class Light(msgspec.Struct, frozen=True, kw_only=True):
    """The light of one picture."""

    ambient: Colour  # share of a colour that is seen without sun, for each of red, green, blue
    sun: Colour  # and what the sun adds to a face turned to it; zeros: no sun, no shadows
    sun_from: tuple[float, float, float]  # where it stands, a unit vector; x to the camera's right, y ahead, z up
    shadow: float  # how much darker the ground is in a shadow, 0..1
    contact: float  # and right below a vehicle
    sky_top: Colour
    sky_low: Colour
    lamps: float  # how bright lamps are, 0 by day
    street: float  # and street lamps
    fog: float  # share of light lost over 100 m, 0..1
    fog_colour: Colour
    wet: float  # how wet the road is, 0..1
    rain: float  # how much of it falls
    noise: float  # of the sensor, standard deviation in steps of 255
    exposure_s: float


_DAY = Light(
    ambient=(0.62, 0.64, 0.68), sun=(0.60, 0.57, 0.50), sun_from=(-0.55, -0.35, 0.76), shadow=0.42, contact=0.55,
    sky_top=(126, 164, 212), sky_low=(206, 220, 232), lamps=0.0, street=0.0, fog=0.05, fog_colour=(206, 218, 228),
    wet=0.0, rain=0.0, noise=2.0, exposure_s=1 / 400,
)  # fmt: skip
_DUSK = Light(
    ambient=(0.38, 0.35, 0.37), sun=(0.12, 0.07, 0.04), sun_from=(0.75, 0.55, 0.36), shadow=0.10, contact=0.45,
    sky_top=(86, 96, 132), sky_low=(226, 168, 128), lamps=0.7, street=0.35, fog=0.08, fog_colour=(178, 152, 140),
    wet=0.0, rain=0.0, noise=4.0, exposure_s=1 / 100,
)  # fmt: skip
_NIGHT = Light(
    ambient=(0.10, 0.10, 0.13), sun=(0.0, 0.0, 0.0), sun_from=(0.0, 0.0, 1.0), shadow=0.0, contact=0.4,
    sky_top=(10, 13, 24), sky_low=(34, 34, 44), lamps=1.0, street=1.0, fog=0.06, fog_colour=(30, 31, 40),
    wet=0.0, rain=0.0, noise=7.0, exposure_s=1 / 50,
)  # fmt: skip

_BY_DAYLIGHT: dict[str, Light] = {"day": _DAY, "dusk": _DUSK, "night": _NIGHT}


def light(daylight: Daylight, weather: Weather) -> Light:
    """The light at a time of day in a weather."""
    clear = _BY_DAYLIGHT[daylight]
    if weather == "clear":
        return clear
    grey = {"day": (196.0, 201.0, 206.0), "dusk": (142.0, 134.0, 136.0), "night": (36.0, 37.0, 44.0)}[daylight]
    flat = tuple(a + 0.62 * s for a, s in zip(clear.ambient, clear.sun, strict=True))
    dimmed = msgspec.structs.replace(
        clear,
        ambient=tuple(0.82 * share for share in flat),
        sun=(0.0, 0.0, 0.0),
        shadow=0.0,
        sky_top=tuple(0.86 * share for share in grey),
        sky_low=grey,
        fog_colour=grey,
        lamps=max(clear.lamps, 0.5),
    )
    if weather == "rain":
        return msgspec.structs.replace(
            dimmed, fog=0.22, wet=1.0, rain=1.0, noise=clear.noise + 1.5, exposure_s=max(clear.exposure_s, 1 / 120)
        )
    return msgspec.structs.replace(dimmed, fog=0.72, wet=0.25)


_PAINTED: dict[Paint, Colour] = {
    Paint.GLASS: (38, 46, 54),
    Paint.TRIM: (34, 34, 36),
    Paint.TYRE: (24, 24, 25),
    Paint.RIM: (132, 134, 138),
    Paint.HEADLAMP: (214, 218, 222),
    Paint.TAILLAMP: (150, 20, 22),
    Paint.PLATE: (218, 214, 190),
    Paint.SKIN: (196, 150, 124),
    Paint.HAIR: (58, 42, 32),
}

_CARS: tuple[Colour, ...] = (
    (222, 224, 226), (206, 208, 212), (52, 54, 58), (36, 37, 40), (120, 124, 130), (154, 158, 164), (88, 92, 98),
    (40, 62, 108), (58, 92, 148), (150, 30, 34), (118, 26, 32), (52, 78, 62), (176, 166, 146), (230, 228, 220),
    (74, 66, 60), (28, 40, 66),
)  # fmt: skip
_LIVERIES: tuple[Colour, ...] = ((198, 40, 44), (226, 226, 222), (28, 92, 148), (40, 110, 70), (222, 178, 52))
_LOADS: tuple[Colour, ...] = ((226, 228, 230), (204, 206, 208), (46, 82, 130), (182, 44, 42), (62, 104, 74), (220, 190, 90), (120, 126, 134))  # fmt: skip
_CLOTHES: tuple[Colour, ...] = (
    (46, 52, 66), (150, 40, 44), (220, 220, 214), (60, 84, 120), (88, 70, 56), (38, 38, 40), (196, 158, 60),
    (92, 120, 88), (140, 90, 120),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((40, 46, 62), (34, 34, 36), (92, 84, 72), (64, 72, 92), (120, 118, 112))
_SKINS: tuple[Colour, ...] = ((224, 182, 154), (196, 150, 124), (142, 98, 72), (92, 62, 46))


def colours(label: str, user: int, seed: int) -> Array:
    """The colours of a user's paints, [number of paints, 3]: the same for the same user of the same recording."""
    draw = np.random.default_rng((seed, user, 20))
    made = np.zeros((len(Paint), 3))
    for paint, colour in _PAINTED.items():
        made[paint] = colour

    def one(of: tuple[Colour, ...]) -> Array:
        return np.clip(np.array(of[draw.integers(len(of))]) + draw.normal(0, 5, 3) + draw.normal(0, 6), 8, 245)

    if label in {"person", "bicycle", "motorcycle"}:
        made[Paint.BODY], made[Paint.SECOND], made[Paint.THIRD] = one(_CARS), one(_CLOTHES), one(_TROUSERS)
        made[Paint.SKIN], made[Paint.HAIR] = (
            one(_SKINS),
            one(((40, 30, 24), (92, 66, 44), (150, 120, 80), (60, 60, 62))),
        )
    elif label == "bus":
        made[Paint.BODY], made[Paint.SECOND] = one(_LIVERIES), one(_LOADS)
        made[Paint.THIRD] = made[Paint.SECOND]
    elif label == "truck":
        made[Paint.BODY], made[Paint.SECOND] = one((*_CARS[:4], *_LIVERIES)), one(_LOADS)
        made[Paint.THIRD] = made[Paint.SECOND] * 0.6
    else:
        made[Paint.BODY] = one(_CARS)
        made[Paint.SECOND] = made[Paint.THIRD] = made[Paint.BODY]
    return made
