"""What the addresses of the API share: names that are known, cameras without secrets, and messages as SSE."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec
from litestar.exceptions import ClientException, HTTPException, NotFoundException

from pipeline.adapters.http.parameters import Kind
from pipeline.adapters.http.problems import LONGEST_TEXT, mistake
from pipeline.core.feed import CameraStatus, Snapshot, write_token
from pipeline.errors import Poison
from pipeline.ports import Feed, History, Pictures, Told, Truths

RECONNECT_MS = 2000
FOREIGN = write_token("", {})
"""A token of no log: who brings it gets a reset."""

C = TypeVar("C", bound=CameraStatus)


class View:
    """The feed, the history and the pictures as a client may see them."""

    def __init__(
        self, feed: Feed, history: History, pictures: Pictures, truths: Truths, redact: Callable[[str], str]
    ) -> None:
        self.feed, self.history, self.pictures, self.truths, self._redact = feed, history, pictures, truths, redact

    def camera(self, camera: C) -> C:
        """A camera as anyone may see it."""
        return msgspec.structs.replace(camera, source=self._redact(camera.source))

    def unknown(self, what: str, name: str, where: str) -> HTTPException:
        """The answer to a name that is not in the registry; before the registry is read, nobody knows."""
        if not self.feed.caught_up()[0]:
            return HTTPException(status_code=503, detail="the registry is being read: ask again in some seconds")
        return mistake(NotFoundException, where, f"there is no {what} {name[:LONGEST_TEXT]!r}: see /api/v1/{what}s")

    async def check_cameras(self, names: Sequence[str] | None) -> None:
        """Refuse names of cameras that are neither registered nor in the history."""
        for name in names or ():
            if self.feed.camera(name) is None and not await self.history.knows(name):
                raise self.unknown("camera", name, "query.camera")

    async def check_groups(self, names: Sequence[str] | None) -> None:
        """The same for groups."""
        for name in names or ():
            if self.feed.group(name) is None and not await self.history.knows(name):
                raise self.unknown("group", name, "query.group")

    async def members(self, cameras: Sequence[str] | None, groups: Sequence[str] | None) -> list[str] | None:
        """The cameras that are named, alone or by their group; None: none is named."""
        if cameras is None and groups is None:
            return None
        await self.check_cameras(cameras)
        wanted = set(cameras or ())
        for name in groups or ():
            group = self.feed.group(name)
            if group is None:
                raise self.unknown("group", name, "query.group")
            wanted.update(group.members)
        return sorted(wanted)

    def listen(
        self, cameras: Sequence[str] | None, kinds: Sequence[Kind] | None, token: str | None, last: str | None
    ) -> AsyncIterator[Told]:
        """The messages one reader asked for. A browser that comes back keeps its URL, so the header wins.

        Raises:
            ClientException: `token` is none. (A wrong header is answered by a reset: EventSource, which sends it
                by itself, would never come back after an error.)
            Retry: too many readers.
        """
        wanted = frozenset(cameras) if cameras is not None else None
        names = frozenset(kind.value for kind in kinds or Kind)
        try:
            return self.feed.listen(cameras=wanted, kinds=names, token=last or token)
        except Poison as exc:
            if not last:
                raise mistake(ClientException, "query.token", str(exc)) from exc
            return self.feed.listen(cameras=wanted, kinds=names, token=FOREIGN)

    async def sent(self, messages: AsyncIterator[Told]) -> AsyncGenerator[bytes, None]:
        """Messages as server-sent events."""
        try:
            yield b"retry: %d\n\n" % RECONNECT_MS
            async for told in messages:
                yield self.written(told)
        finally:
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()

    def written(self, told: Told) -> bytes:
        """One message as a server-sent event.

        A heartbeat is a comment; its id moves the reader's place on, although nothing is dispatched
        (HTML standard, 9.2.6: the last event id is set before empty data is looked at).
        """
        head = f"id: {told.token}\n" if told.token is not None else ""
        if told.kind == "heartbeat":
            return f": \n{head}\n".encode()
        if isinstance(told.data, Snapshot):
            cameras = [self.camera(camera) for camera in told.data.cameras]
            data = msgspec.json.encode(msgspec.structs.replace(told.data, cameras=cameras))
        elif isinstance(told.data, bytes):
            data = told.data
        else:
            data = msgspec.json.encode({"reason": told.data})
        lines = b"".join(b"data: " + line + b"\n" for line in re.split(rb"\r\n|\r|\n", data))
        return f"{head}event: {told.kind}\n".encode() + lines + b"\n"


async def nothing() -> AsyncGenerator[bytes, None]:
    """A stream's body for HEAD."""
    return
    yield b""
