"""Which traffic a simulated camera shows: a recording that comes with gantry, or somebody's file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.model import Detections
from pipeline.errors import Fatal, Poison
from pipeline.simulate import journeys
from pipeline.simulate.address import Address, read
from pipeline.simulate.journeys import Recording, recorded
from pipeline.simulate.noise import noise_model
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.sightings import sightings


@dataclass(frozen=True)
class Showing:
    """What a simulated camera shows, pass after pass the same."""

    address: Address
    place: Scenario
    recording: Recording

    def begin(self) -> Iterator[tuple[int, Detections]]:
        """A pass: milliseconds since its start, and what is seen then."""
        noise = noise_model(self.address.noise)
        return sightings(self.recording, self.place, fps=self.address.fps, noise=noise, seed=self.address.seed)


def showing(source: str) -> Showing:
    """What an address shows.

    Raises:
        Fatal: there is no such scenario, recording or parameter, or its file cannot be used; the message says what
            there is.
    """
    address = read(source)
    place = scenario(address.scenario)
    return Showing(address, place, _named(address) if address.recording else recorded(place.name, address.seed))


def own(file: Path) -> Recording:
    """A recording that somebody made. Raises Fatal."""
    try:
        return journeys.read(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise Fatal(f"{file}: {getattr(exc, 'strerror', None) or exc}") from exc
    except Poison as exc:
        raise Fatal(f"{file}: {exc}") from exc


def _named(address: Address) -> Recording:
    """The recording that an address names. Raises Fatal: also where it is of another place or other traffic."""
    file = Path(str(address.recording))
    recording = own(file)
    if recording.scenario != address.scenario:
        raise Fatal(f"{file}: it is a recording of {recording.scenario}, not of {address.scenario}")
    if address.traffic not in {None, recording.seed}:
        raise Fatal(f"{file}: its traffic has seed {recording.seed}, not {address.traffic}, as traffic= says")
    return recording
