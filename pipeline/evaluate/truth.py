"""Truth files of either kind: of simulated traffic, or counted by eye."""

import msgspec

from pipeline.errors import Fatal
from pipeline.evaluate.hand_count import is_hand_count, read_hand_count
from pipeline.evaluate.passages import Passage, Truth
from pipeline.simulate import truth as simulated
from pipeline.simulate import truth_file

OF_SIMULATION = {"scenario", "seed", "passages", "movements"}


def read_truth(data: bytes, name: str) -> Truth:
    """Read a truth file.

    Args:
        data: its bytes: `truth.json` of a simulation, or a count by eye.
        name: of the file, for messages.

    Raises:
        Fatal: it is neither; or everything that is wrong with it, each with its place.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Fatal(f"{name}: is not JSON: {exc}") from exc
    if is_hand_count(document):
        return read_hand_count(data.decode(), name)
    if isinstance(document, dict) and OF_SIMULATION & document.keys():
        return of_simulation(truth_file.read_truth(data, name=name), name)
    raise Fatal(
        f"{name}: is no truth: neither of a simulation (scenario, seed, passages, ...)"
        " nor counted by eye (video, line, crossings, ...)"
    )


def of_simulation(truth: simulated.Truth, name: str) -> Truth:
    """The truth of simulated traffic, as everything is compared."""
    return Truth(
        name=name,
        passages=tuple(
            Passage(
                line=p.line,
                direction=p.direction,
                t_ms=p.t_ms,
                label=p.label,
                user=str(p.user),
                x=p.x,
                y=p.y,
                speed_kmh=p.speed_kmh,
                way_m=None if p.way_m is msgspec.UNSET else p.way_m,
            )
            for p in truth.passages
        ),
        duration_ms=truth.duration_ms,
        size=truth.size,
        lines={line.name: (line.start, line.end) for line in truth.scene.lines},
        start_ms=truth.start_ms,
        scenario=truth.scenario,
        seed=truth.seed,
        speed_traps=tuple(truth.scene.speed_traps),
    )
