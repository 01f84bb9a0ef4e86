"""What a camera has learned of the road it sees in one view: which way others drive, and how large they are seen."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.core.flow_field import FlowField, Step
from pipeline.core.kernels import Field
from pipeline.core.perspective import Perspective, Sighting


class Road(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that was learned of one view; nothing of it lasts when the camera shows another one."""

    flow: dict[str, FlowField] = {}  # by kind of road user
    perspective: Perspective = Perspective()

    def field(self, kind: str) -> Field:
        """The table of the flow of a kind, as in FlowField; where nobody of it was seen, it is empty."""
        return self.flow.get(kind, _NOWHERE).table

    def learned(self, steps: Mapping[str, Sequence[Step]], sizes: Iterable[Sighting], aspect: float) -> "Road":
        """What is known after these.

        Args:
            steps: how far road users drove, by kind.
            sizes: how large they were seen.
            aspect: width / height of the picture.
        """
        flow = self.flow
        if steps:
            flow = {
                **flow,
                **{k: (flow.get(k) or FlowField.empty(aspect)).learned(v, self.perspective) for k, v in steps.items()},
            }
        return Road(flow, self.perspective.learned(sizes))


_NOWHERE = FlowField.empty(1.0)

UNKNOWN = Road()
"""Of a camera that saw nothing yet."""
