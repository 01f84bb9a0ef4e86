"""What a simulated camera is called.

`sim://junction?seed=7&fps=10&light=night&weather=rain` has pictures;
`sim+detections://junction?seed=7&fps=10&noise=yolov8n` has what a detector would make of them, without any.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from pipeline.core.credentials import holds_credentials
from pipeline.errors import Fatal
from pipeline.simulate.journeys import ranges, shipped
from pipeline.simulate.noise import LEVELS
from pipeline.simulate.pixels.light import DAYLIGHTS, WEATHERS, Daylight, Weather
from pipeline.simulate.scenarios import SCENARIOS

SCHEME = "sim+detections"
"""Boxes as a detector would give them; there are no pixels."""

PAINTED = "sim"
"""Pictures."""

SCHEMES = (PAINTED, SCHEME)

LEAST_FPS, MOST_FPS = 1.0, 60.0
_EXAMPLE = f"{SCHEME}://junction?seed=7&fps=10"
_PARAMETERS = {
    SCHEME: ("seed", "fps", "noise", "recording", "traffic"),
    PAINTED: ("seed", "fps", "light", "weather", "recording", "traffic"),
}
_FILM = re.compile(rf"{PAINTED}://[a-z_]+\?seed=\d{{1,10}}(&[a-z]+=[a-z0-9.]+)*")
_SHOWN = 40  # characters of a value that a message shows
_DIGITS = 9  # of a seed


_Word = TypeVar("_Word", bound=str)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated camera. The same address shows the same pictures or boxes, always."""

    scenario: str
    seed: int = 0  # of the traffic that comes with gantry, and of the noise
    painted: bool = False  # whether it has pictures
    light: Daylight = "day"  # of the pictures
    weather: Weather = "clear"
    fps: float = 10.0  # pictures the camera takes in a second
    noise: str = "yolov8n"  # how bad its detector is: one of `noise.LEVELS`
    recording: str | None = None  # a file of `gantry simulate record`, instead of traffic that comes with gantry
    traffic: int | None = None  # the seed that this file's traffic must have; None: any


def is_simulated(source: str) -> bool:
    """Whether a camera's source is an address of this kind, right or wrong."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def has_pixels(source: str) -> bool:
    """Whether a camera has pictures: all have, but simulated ones that are boxes alone."""
    return not is_simulated(source) or source.partition("://")[0].lower() == PAINTED


def read(source: str) -> Address:
    """The camera that an address names.

    Raises:
        Fatal: it names none; the message holds every mistake, and nothing that may be a password.
    """
    address, wrong = _read(source)
    if wrong:
        shown = f"{source.partition('://')[0]}://***" if _secret(source) else source
        raise Fatal(f"{shown}: {'; '.join(wrong)}")
    return address


def mistakes(source: str) -> list[str]:
    """Everything that is wrong with an address, each to be read after "the source ..."; none: it names a camera.

    They repeat nothing that may be a password.
    """
    return _read(source)[1]


def _read(source: str) -> tuple[Address, list[str]]:
    """The address, with defaults where it is wrong, and what is wrong."""
    if _secret(source):
        return Address(scenario=""), [f"holds a user or a password, and a simulated camera has none; write {_EXAMPLE}"]
    try:
        parts = urlsplit(source)
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return Address(scenario=""), [f"is no address; write it like {_EXAMPLE}"]
    name, rest = parts.netloc, parts.path.strip("/") or (f"#{parts.fragment}" if parts.fragment else "")
    wrong = [] if name in SCENARIOS else [f"names {_shown(name)}, which is no scenario{_near(name, sorted(SCENARIOS))}"]
    if rest:
        wrong.append(f"holds {_shown(rest)} after the scenario; write it like {_EXAMPLE}")
    scheme = PAINTED if parts.scheme.lower() == PAINTED else SCHEME
    known = _PARAMETERS[scheme]
    wrong += [f"has an unknown parameter {_shown(key)}{_near(key, known)}" for key, _ in given if key not in known]
    wrong += [f"gives {key} more than once; keep one" for key in known if sum(k == key for k, _ in given) > 1]
    values = {key: value for key, value in given if key in known}
    seed, fps = _seed(values, wrong), _fps(values, wrong)
    noise = _one_of(values, "noise", tuple(LEVELS), "yolov8n", wrong)
    light = _one_of(values, "light", DAYLIGHTS, DAYLIGHTS[0], wrong)
    weather = _one_of(values, "weather", WEATHERS, WEATHERS[0], wrong)
    file = values.get("recording")
    if file is not None and not file.startswith("/"):
        wrong.append(f"needs a path from the root for recording, like /data/{name}-9.traj, got {_shown(file)}")
    traffic = _seed(values, wrong, "traffic") if "traffic" in values else None
    if traffic is not None and file is None:
        wrong.append("gives traffic without recording; of traffic that comes with gantry, seed says which it is")
    address = Address(
        scenario=name, seed=seed, painted=scheme == PAINTED, light=light, weather=weather, fps=fps, noise=noise,
        recording=file, traffic=traffic,
    )  # fmt: skip
    recordings = shipped().get(name, ())
    if not wrong and file is None and seed not in recordings:
        there = ranges(recordings) or "none"
        wrong.append(
            f"has no recording with seed {seed}: {name} comes with {there}; make one with"
            f" gantry simulate record {name} --seed {seed} and write recording=/path/of/{name}-{seed}.traj"
        )
    return address, wrong


def told(source: str, traffic: int) -> str:
    """The address of a camera with a recording, and which traffic this is: `...&traffic=9`.

    Args:
        source: a right address.
        traffic: the seed of the traffic that it shows.

    Returns:
        The source as it is where it says so already, by its `seed` or its `traffic`.
    """
    address = read(source)
    if address.recording is None or address.traffic is not None:
        return source
    return f"{source}{'' if source.endswith('&') else '&'}traffic={traffic}"


def of_film(scenario: str, seed: int, *, fps: float, light: Daylight, weather: Weather) -> str:
    """What a painted film shows, as its comment says it: the address of a camera that would show the same."""
    return f"{PAINTED}://{scenario}?seed={seed}&fps={fps:g}&light={light}&weather={weather}"


def in_comment(comment: str) -> str | None:
    """What a film shows, by its comment; None where that says something else: the film was not painted by gantry."""
    return comment if _FILM.fullmatch(comment) else None


def _secret(source: str) -> bool:
    """Whether a part of it may be a password: then none of it is repeated."""
    if holds_credentials(source):
        return True
    place = re.split(r"[?#]", source.partition("://")[2], maxsplit=1)[0]
    return any(mark in place for mark in ":%") or "@" in re.sub(r"[?&]recording=[^&#]*", "", source)


def _seed(values: dict[str, str], wrong: list[str], key: str = "seed") -> int:
    text = values.get(key, "0")
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return int(text)
    wrong.append(f"needs a whole number for {key}, got {_shown(text)}")
    return 0


def _fps(values: dict[str, str], wrong: list[str]) -> float:
    text = values.get("fps", "10")
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if LEAST_FPS <= fps <= MOST_FPS:  # nan is not
        return fps
    wrong.append(f"needs a number from {LEAST_FPS:g} to {MOST_FPS:g} for fps, got {_shown(text)}")
    return LEAST_FPS


def _one_of(values: dict[str, str], key: str, known: Sequence[_Word], usual: _Word, wrong: list[str]) -> _Word:
    text = values.get(key, usual)
    for word in known:
        if word == text:
            return word
    wrong.append(f"needs one of {', '.join(known)} for {key}, got {_shown(text)}")
    return usual


def _near(word: str, known: Iterable[str]) -> str:
    """` (did you mean junction?)`, or the whole choice where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else f" (known: {', '.join(known)})"


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
