"""Have everything compiled before it is needed."""

from collections.abc import Callable

from pipeline.core import kernels
from pipeline.core.model import CameraId, Clock, Detections, Header, Line, Opened, Record, Scene, Size, Zone
from pipeline.core.scene import Memory, ScenePolicy, observe

_SIZE = Size(160, 90)
_CAMERA = CameraId("made-up")


def warm_up(cold: Callable[[], None] = lambda: None) -> None:
    """Let two made-up vehicles drive over a line and through a zone, so that all the core compiles is compiled then.

    Args:
        cold: called first if it takes some ten seconds, for nothing is in numba's cache yet (see `compiled`).
    """
    kernels.size((1.0, 0.0, 0.0), 0.0, 0.0)
    if kernels.size.anew:
        cold()
    box = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)]
    line, zone = Line(name="line", start=(0.0, 0.5), end=(1.0, 0.5)), Zone(name="zone", points=box)
    bodies: list[Opened | Scene | Detections] = [
        Opened(source_size=_SIZE, clock=Clock.FILE, fps=5.0, first_ms=0),
        Scene(drawn_on=_SIZE, lines=[line], zones=[zone]),
        *(_seen(0.3 + 0.02 * k) for k in range(20)),
    ]
    memory, policy = Memory(camera=_CAMERA), ScenePolicy()
    for seq, body in enumerate(bodies):
        at = Header(
            log="", camera=_CAMERA, shard=0, epoch=1, seq=seq, captured_ms=200 * seq, clock=Clock.FILE, size=_SIZE
        )
        memory = observe(memory, Record(at, body), policy).memory


def _seen(y: float) -> Detections:
    """One behind the other, its box a little hidden."""
    return Detections(
        x1=[0.40, 0.45],
        y1=[y, y - 0.06],
        x2=[0.50, 0.55],
        y2=[y + 0.1, y + 0.02],
        score=[0.9, 0.8],
        label=["car", "car"],
    )
