"""Pixels of a simulated camera, painted with OpenCV: what stands still once, what moves for every picture."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.painter.backdrop import Backdrop, backdrop
from pipeline.simulate.journeys import Recording
from pipeline.simulate.pixels.light import Daylight, Weather, light
from pipeline.simulate.pixels.sketch import SHIFT, Glow, Shape, Sketch, sketch
from pipeline.simulate.scenario import Scenario

Pixels = NDArray[np.uint8]
"""[height, width, 3]: blue, green, red."""

QUALITY = 78
"""Of the JPEG that a camera of this kind sends; its artefacts are in the pictures."""

_TILES = 6  # of noise, taken in turn and moved by chance
_SLACK = 96  # px a tile of noise is larger than the picture
_LEAST_BLUR_PX = 1.5
_GLOW_PX = 96  # the size of the drawing of a lamp's glow, which is scaled
_STREAKS = 420
_COARSER = 4  # the light of headlamps is worked out at a fourth of the size
_HEADLAMP = (0.42, 0.40, 0.35)  # what headlamps add to the ambient light of the road


class Looks(NamedTuple):
    """The time of day, the weather, and what is drawn by chance."""

    daylight: Daylight = "day"
    weather: Weather = "clear"
    seed: int = 0
    quality: int | None = QUALITY  # None: no JPEG


class Painter:
    """Paints what the camera of a place sees of a recording. The same arguments, the same pixels.

    Not safe for two threads at once.

    Args:
        recording: who drives.
        place: where, and the camera.
        looks: the light and the weather.
    """

    def __init__(self, recording: Recording, place: Scenario, looks: Looks | None = None) -> None:
        self.recording, self.place = recording, place
        self.looks = looks or Looks()
        self.light = light(self.looks.daylight, self.looks.weather)
        self._still: Backdrop = backdrop(place, self.light)
        self._shadow = _lut(1 - self.light.shadow)
        self._contact = _lut(1 - self.light.contact)
        self._noise = _tiles(self._still.lit.shape, self.light.noise, self.looks.seed)

    def picture(self, t_ms: float) -> Pixels:
        """The picture at t_ms since the start of the recording."""
        drawn = sketch(self.recording, self.place, self.light, t_ms)
        moved = self.place.camera.shake.at(t_ms)
        frame = _shifted(self._still.lit, moved)
        self._ground(frame, drawn, moved)
        for shape in drawn.shapes:
            _paint(frame, shape)
        chance = np.random.default_rng((self.looks.seed, round(t_ms * 1000) & 0xFFFFFFFF))
        if self.light.rain > 0:
            _rain(frame, chance)
        self._grain(frame, chance)
        if self.looks.quality is not None:
            _, packed = cv2.imencode(".jpg", frame, (cv2.IMWRITE_JPEG_QUALITY, self.looks.quality))
            frame = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
        return frame

    def pictures(self, fps: float) -> Iterator[tuple[int, Pixels]]:
        """All pictures before the recording's end: the rounded millisecond since its start, and its pixels."""
        number = 0
        while (t_ms := round(number * 1000 / fps)) < self.recording.duration_ms:
            yield t_ms, self.picture(t_ms)
            number += 1

    def _ground(self, frame: Pixels, drawn: Sketch, moved: tuple[float, float]) -> None:
        """Shadows on the road, and the light of headlamps."""
        for polygons, lut in ((drawn.shadows, self._shadow), (drawn.contacts, self._contact)):
            if not polygons or lut is None:
                continue
            mask = np.zeros(frame.shape[:2], dtype=np.uint8)
            for polygon in polygons:
                cv2.fillConvexPoly(mask, polygon, 255, cv2.LINE_8, SHIFT)
            cv2.copyTo(cv2.LUT(frame, lut), mask, frame)
        if not drawn.pools:
            return
        height, width = frame.shape[:2]
        small = np.zeros((height // _COARSER, width // _COARSER), dtype=np.float32)
        for pool in drawn.pools:
            _light_up(small, (pool / _COARSER).astype(np.float32))
        light = np.minimum(small, 1.0)[..., None] * np.array(_HEADLAMP[::-1], dtype=np.float32)
        light = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.add(
            frame,
            cv2.multiply(_shifted(self._still.albedo, moved), (light * 255).astype(np.uint8), scale=1 / 255),
            frame,
        )

    def _grain(self, frame: Pixels, chance: np.random.Generator) -> None:
        height, width = frame.shape[:2]
        down, across = chance.integers(0, _SLACK, 2)
        plus, minus = self._noise[int(chance.integers(len(self._noise)))]
        cv2.add(frame, plus[down : down + height, across : across + width], frame)
        cv2.subtract(frame, minus[down : down + height, across : across + width], frame)


def _light_up(small: NDArray[np.float32], pool: NDArray[np.float32]) -> None:
    """Add the light of a pair of headlamps, soft at its edges."""
    x, y, w, h = cv2.boundingRect(pool)
    height, width = small.shape
    slack = 8
    x0, y0, x1, y1 = max(0, x - slack), max(0, y - slack), min(width, x + w + slack), min(height, y + h + slack)
    if min(w, h, x1 - x0, y1 - y0) <= 1:
        return
    layer = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    cv2.fillConvexPoly(layer, np.round((pool - (x0, y0)) * 2**SHIFT).astype(np.int32), 255, cv2.LINE_AA, SHIFT)
    size = max(3, min(31, min(w, h) // 2 * 2 + 1))
    small[y0:y1, x0:x1] += cv2.GaussianBlur(layer, (size, size), 0).astype(np.float32) / 255


def _paint(frame: Pixels, shape: Shape) -> None:
    """Paint a user, blurred by its motion, and its lamps."""
    _fill(frame, shape)
    for glow in shape.glows:
        _shine(frame, glow)


def _fill(frame: Pixels, shape: Shape) -> None:
    for polygon, (red, green, blue) in zip(shape.polygons, shape.colours, strict=True):
        cv2.fillConvexPoly(frame, polygon, (blue, green, red), cv2.LINE_AA, SHIFT)
    length = float(np.hypot(*shape.moved_px))
    if length < _LEAST_BLUR_PX:
        return
    reach = int(np.ceil(length)) | 1
    line = np.zeros((reach, reach), dtype=np.float32)
    middle = (reach - 1) / 2
    half = np.array(shape.moved_px) / 2
    ends = (np.round((np.array([middle - half, middle + half])) * 2**SHIFT)).astype(int)
    cv2.line(line, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0, 1, cv2.LINE_AA, SHIFT)
    x, y, w, h = cv2.boundingRect(shape.outline)
    x0, y0 = max(0, x - reach), max(0, y - reach)
    part = frame[y0 : max(0, y + h + reach), x0 : max(0, x + w + reach)]
    if part.size and line.sum() > 0:
        part[:] = cv2.filter2D(part, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE)


def _shine(frame: Pixels, glow: Glow) -> None:
    """Add a lamp's glow."""
    radius = int(min(glow.radius * 3.2, 260))
    if radius < 1:
        return
    x, y = round(glow.x) - radius, round(glow.y) - radius
    size = 2 * radius + 1
    x0, y0, x1, y1 = max(0, x), max(0, y), min(frame.shape[1], x + size), min(frame.shape[0], y + size)
    if x0 >= x1 or y0 >= y1:
        return
    halo = cv2.resize(_HALO, (size, size), interpolation=cv2.INTER_AREA)[y0 - y : y1 - y, x0 - x : x1 - x]
    part = frame[y0:y1, x0:x1]
    cv2.add(part, (halo[..., None] * np.array(glow.colour[::-1], dtype=np.float32)).astype(np.uint8), part)


def _halo() -> NDArray[np.float32]:
    axis = np.linspace(-3.2, 3.2, 2 * _GLOW_PX + 1)
    away = np.hypot(axis[:, None], axis)
    bright = 0.9 * np.exp(-((away / 0.55) ** 2)) + 0.28 * np.exp(-((away / 1.35) ** 2))
    return np.where(away < 3.2, bright, 0.0).astype(np.float32)  # noqa: PLR2004 - its edge


_HALO = _halo()


def _rain(frame: Pixels, chance: np.random.Generator) -> None:
    """Drops, as long as they fall while the shutter is open."""
    height, width = frame.shape[:2]
    layer = np.zeros((height, width), dtype=np.uint8)
    near = chance.random(_STREAKS) ** 3
    x, y = chance.random(_STREAKS) * width, chance.random(_STREAKS) * height
    length = (0.012 + 0.06 * near) * height
    lean = 0.10 + 0.03 * chance.standard_normal(_STREAKS)
    starts = np.round(np.column_stack([x, y]) * 2**SHIFT).astype(int)
    ends = np.round(np.column_stack([x + lean * length, y + length]) * 2**SHIFT).astype(int)
    for start, end, share in zip(starts.tolist(), ends.tolist(), near.tolist(), strict=True):
        cv2.line(layer, start, end, int(16 + 38 * share), 1 if share < 0.7 else 2, cv2.LINE_AA, SHIFT)  # noqa: PLR2004
    cv2.add(frame, cv2.merge([layer, layer, layer]), frame)


def _shifted(picture: Pixels, moved_px: tuple[float, float]) -> Pixels:
    if moved_px == (0.0, 0.0):
        return picture.copy()
    matrix = np.array([[1.0, 0.0, moved_px[0]], [0.0, 1.0, moved_px[1]]])
    size = (picture.shape[1], picture.shape[0])
    made = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, dtype=np.uint8)


def _lut(share: float) -> NDArray[np.uint8] | None:
    return None if share >= 1 else np.round(np.arange(256) * share).astype(np.uint8)


def _tiles(shape: tuple[int, ...], spread: float, seed: int) -> list[tuple[Pixels, Pixels]]:
    chance = np.random.default_rng((seed, 5))
    made = []
    for _ in range(_TILES):
        size = (shape[0] + _SLACK, shape[1] + _SLACK, 1)
        grey = chance.standard_normal(size, dtype=np.float32) * spread
        colour = chance.standard_normal((*size[:2], 3), dtype=np.float32) * (spread * 0.5)
        drawn = grey + cv2.blur(colour, (2, 2))
        made.append((np.clip(drawn, 0, 255).astype(np.uint8), np.clip(-drawn, 0, 255).astype(np.uint8)))
    return made
