"""What the detector of a simulated camera says, picture by picture."""

import itertools
from collections.abc import Iterator

from pipeline.core.model import Detections
from pipeline.simulate.journeys import Recording
from pipeline.simulate.noise import Noise, NoiseModel
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.view import view


def sightings(
    recording: Recording, scenario: Scenario, *, fps: float, noise: NoiseModel, seed: int, phase_ms: float = 0.0
) -> Iterator[tuple[int, Detections]]:
    """Look at a recording through the scenario's camera and its detector.

    Args:
        recording: who goes where.
        scenario: the place; its camera looks.
        fps: pictures a second, above 0 and at most 1000.
        noise: how bad the detector is.
        seed: of the noise. The same arguments give the same boxes.
        phase_ms: when the first picture is taken, since the start of the recording.

    Yields:
        (t_ms, boxes) of each picture until the recording ends: whole milliseconds since its start, always rising,
        and what was there to be seen at exactly that time.
    """
    detector = Noise(noise, seed)
    for number in itertools.count():
        t_ms = round(phase_ms + number * 1000 / fps)
        if t_ms >= recording.duration_ms:
            return
        yield t_ms, detector.see(view(recording, scenario.camera, t_ms), scenario.size)
