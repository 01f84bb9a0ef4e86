"""One Source for every kind of camera: those that have pixels, and those that are simulated."""

from collections.abc import AsyncIterator

from pipeline.core.model import Camera
from pipeline.ports import Picture, Source
from pipeline.simulate.address import is_simulated


class Cameras:
    """Opens cameras (implements ports.Source), told apart by what their `source` begins with.

    Args:
        filmed: opens files and streams.
        simulated: opens simulated cameras.
    """

    def __init__(self, *, filmed: Source, simulated: Source) -> None:
        self._filmed, self._simulated = filmed, simulated

    def pictures(self, camera: Camera) -> AsyncIterator[Picture]:
        """Pictures of one connection, see ports.Source."""
        return (self._simulated if is_simulated(camera.source) else self._filmed).pictures(camera)
