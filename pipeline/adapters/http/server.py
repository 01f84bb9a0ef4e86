"""uvicorn, run inside our own process: our signals, our log, and an end that does not wait for open streams."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn

from pipeline.errors import Fatal

MOST_HEAD = 32 * 1024  # request line and headers; a resume token of a wide installation fits
_WHAT = {"serve": "the API", "dashboard": "the page"}
STOP_S = 2  # how long an answer may go on after the end was asked for


async def run_http(
    app: Callable[..., Awaitable[None]],
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    listening: Callable[[int], None] | None = None,
    section: str = "serve",
    sockets: bool = False,
) -> None:
    """Answer at http://host:port until `stop` is set; then open answers get `STOP_S` to end.

    Args:
        app: an ASGI application.
        listening: told the port (port 0 takes a free one) once connections are taken.
        section: of the settings that has the port, for the error.
        sockets: whether the application talks WebSocket, too, and wants to be told of its start and end.

    Raises:
        Fatal: the address cannot be used.
    """
    with contextlib.closing(_bound(host, port, section)) as sock:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on" if sockets else "off",
            http="h11",
            ws="websockets-sansio" if sockets else "none",
            h11_max_incomplete_event_size=MOST_HEAD,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=STOP_S,
        )
        with _one_line_each():
            server = _Server(config)
            running = asyncio.ensure_future(server.serve(sockets=[sock]))
            stopping = asyncio.ensure_future(stop.wait())
            try:
                if listening is not None:
                    listening(sock.getsockname()[1])
                await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                server.should_exit = True
                stopping.cancel()
                await asyncio.wait({running})
                if cut := set(server.server_state.tasks):  # answers that were cut end within the next turns
                    await asyncio.wait(cut, timeout=STOP_S)
            running.result()


class _Server(uvicorn.Server):
    """Signals are the process's own business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(host: str, port: int, section: str) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(128)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    except (OSError, OverflowError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise Fatal(
            f"{_WHAT[section]} cannot listen on {host}:{port}: {reason}; choose another {section}.port, or end what uses it"
        ) from exc
    return sock


@contextlib.contextmanager
def _one_line_each() -> Iterator[None]:
    """The server writes tracebacks and its own comings and goings: one line of each trouble is enough."""
    logger = logging.getLogger("uvicorn.error")

    def shorten(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            if isinstance(record.exc_info[1], asyncio.CancelledError):
                return False  # an open stream was cut at our end
            record.msg, record.args = "an answer broke off: %s", (type(record.exc_info[1]).__name__,)
            record.exc_info = record.exc_text = None
        return record.levelno >= logging.WARNING and "timeout graceful shutdown" not in record.getMessage()

    logger.addFilter(shorten)
    try:
        yield
    finally:
        logger.removeFilter(shorten)
