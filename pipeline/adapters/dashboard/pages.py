"""NiceGUI: the pages, and the application that answers with them.

NiceGUI builds what stands still. What moves goes from the browser straight to serve: the components of this folder
(Vue, which NiceGUI brings) listen to its stream and ask for its pictures, so that no data passes through this process.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exception_handlers import http_exception_handler
from nicegui import Client, core, ui
from nicegui.page import page as page_of

from pipeline.ports import Meter

HERE = Path(__file__).parent
CHARTS = ui.echart
"""Named, so that NiceGUI serves the charts' library, which our components import."""

MARK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="{colour}" stroke-width="2" stroke-linecap="round">'
    '<path d="M3 20V6h18v14M3 10h18M8 6v4M16 6v4"/><path d="M12 14v6" stroke-dasharray="2.2 2.8"/></svg>'
)
"""A gantry over a road."""

THEME = """<script>
(() => {
  let kept = null;
  try { kept = localStorage.getItem("gantry-theme"); } catch {}
  document.documentElement.dataset.theme = kept ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.lang = "en";
})();
</script>"""
"""Before anything is painted: dark stays dark while a page loads."""

ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)*")

RECONNECT_S = 30.0
"""How long NiceGUI keeps a page that lost it: on a busy machine less would load pages anew for nothing."""

SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "SAMEORIGIN"}


class Theme(ui.element, component="theme.js"):
    """Chooses light or dark."""


class Wall(ui.element, component="wall.js", esm={"gantry-page": "modules"}):
    """All cameras.

    Args:
        serve: props that say where serve is.
    """

    def __init__(self, serve: dict[str, Any]) -> None:
        super().__init__()
        self._props.update(serve)


class OneCamera(ui.element, component="camera.js"):
    """One camera.

    Args:
        serve: props that say where serve is.
        camera: its id; whether there is one, serve says.
    """

    def __init__(self, serve: dict[str, Any], camera: str) -> None:
        super().__init__()
        self._props.update(serve | {"camera": camera})


def dashboard_app(*, address: str | None, port: int, meter: Meter) -> FastAPI:
    """The dashboard as an ASGI application. NiceGUI has one for each process: call it once.

    Args:
        address: of serve, as browsers reach it; None: the host they called this page by, at `port`.
        port: of serve.
        meter: counts `pages` that were asked for.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    logging.getLogger("nicegui").setLevel(logging.ERROR)  # it warns of every address that is not there
    core.sio.eio.cors_allowed_origins = None  # its socket is for its own pages alone

    @app.middleware("http")
    async def safe(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(SAFE)
        return response

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"alive": True}

    def serve(request: Request) -> dict[str, Any]:
        return {"address": address, "port": port, "root": _root(request)}

    @ui.page("/", title="gantry")
    def wall(request: Request) -> None:
        meter.count("pages", page="wall")
        _masthead(_root(request))
        with ui.element("div").classes("content"):
            Wall(serve(request))

    @ui.page("/cameras/{camera}")
    def camera(request: Request, camera: str) -> None:
        meter.count("pages", page="camera")
        ui.page_title(f"{camera} - gantry")
        _masthead(_root(request), camera)
        with ui.element("div").classes("content"):
            OneCamera(serve(request), camera)

    @core.app.exception_handler(404)
    async def nothing(request: Request, exc: HTTPException) -> Response:
        if request.url.path.startswith("/_nicegui"):
            return await http_exception_handler(request, exc)
        meter.count("pages", page="none")
        with Client(page_of("/"), request=request) as client:
            _masthead(_root(request))
            with ui.element("div").classes("content"), ui.element("div").classes("empty card"):
                ui.html("<h1>There is nothing at this address</h1>", sanitize=False)
                ui.link("All cameras", f"{_root(request)}/")
        return client.build_response(request, 404)

    style = (HERE / "page.css").read_text(encoding="utf-8")
    ui.add_head_html(f"{THEME}<style>{style}</style>", shared=True)
    ui.run_with(
        app,
        title="gantry",
        favicon=MARK.format(colour="#2f7de1").replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"'),
        dark=None,
        reconnect_timeout=RECONNECT_S,
        tailwind=False,
        show_welcome_message=False,
        cache_control_directives="no-cache",
    )
    return app


def _root(request: Request) -> str:
    """What stands before our addresses, where a proxy put us below another one."""
    root = str(request.headers.get("X-Forwarded-Prefix", request.scope.get("root_path", ""))).rstrip("/")
    return root if ROOT.fullmatch(root) else ""


def _masthead(root: str, crumb: str | None = None) -> None:
    with ui.element("header").classes("masthead"):
        with ui.element("a").props(f'href="{root}/"').classes("brand"):
            ui.html(MARK.format(colour="currentcolor"), sanitize=False)
            ui.label("gantry")
        if crumb is not None:
            ui.label(crumb).classes("crumb")
        Theme()
