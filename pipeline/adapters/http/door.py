"""Around the application: HEAD, bodies that are too large, safe headers, and counting answers."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send

from pipeline.adapters.http.problems import PROBLEM_JSON, problem
from pipeline.ports import Meter

MOST_BODY = 64 * 1024  # no request of this API has a body
HEAD = "gantry_head"
"""In the scope of a request that wants no body: it goes to the application as GET."""

ENDLESS = "/api/v1/stream"
_SAFE = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class Door:
    """The application as the server gets it."""

    def __init__(self, app: Litestar, meter: Meter) -> None:
        self._app, self._meter = app, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != ScopeType.HTTP:
            return  # there is nothing here but HTTP
        plain: Any = scope
        head = plain["method"] == "HEAD"
        if head:
            plain["method"], plain[HEAD] = "GET", True
        begun = asyncio.get_running_loop().time()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_safe(message["headers"])
            elif head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        if _too_large(plain):
            await _refuse_body(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)
        route = str(plain.get("path_template") or "none")
        self._meter.count("requests", route=route, status=f"{status // 100}xx")
        if route != ENDLESS:
            self._meter.seconds("answer", asyncio.get_running_loop().time() - begun, route=route)


def _with_safe(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = [(name, b"GET, HEAD, OPTIONS") if name.lower() == b"allow" else (name, value) for name, value in headers]
    names = {name.lower() for name, _ in given}
    return [*given, *(header for header in _SAFE if header[0] not in names)]


def _too_large(scope: Any) -> bool:
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return any(not value.isdigit() or len(value) > 9 or int(value) > MOST_BODY for value in lengths)  # noqa: PLR2004 - digits


async def _refuse_body(scope: Any, receive: Receive, send: Send) -> None:
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    refusal = problem(request, 413, f"a body of more than {MOST_BODY} bytes is refused: requests here have none")
    body = msgspec.json.encode(refusal.content)
    headers = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
