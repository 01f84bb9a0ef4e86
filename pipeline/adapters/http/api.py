"""The API of serve: its addresses and their description."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar.config.cors import CORSConfig
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream
from litestar.types import ASGIApp

from pipeline.adapters.http.door import HEAD, MOST_BODY, Door
from pipeline.adapters.http.parameters import (
    LATEST_MS,
    LONGEST_TOKEN,
    CameraNames,
    Cursor,
    EventType,
    From,
    GroupNames,
    Kind,
    Limit,
    Order,
    Ordered,
    Text,
    To,
    known_parameters,
    span,
)
from pipeline.adapters.http.problems import (
    LONGEST_TEXT,
    PROBLEM_JSON,
    Problem,
    broken,
    mistake,
    poison,
    refused,
    retry,
)
from pipeline.adapters.http.view import View, nothing
from pipeline.core.feed import CameraDetail, CameraStatus
from pipeline.core.model import Group, Way
from pipeline.errors import Poison, Retry
from pipeline.ports import (
    Count,
    CountQuery,
    EventPage,
    EventQuery,
    Feed,
    FlowPage,
    FlowQuery,
    History,
    Meter,
    NoPicture,
    Pictures,
    TrueCount,
    Truths,
)

EVENT_STREAM = "text/event-stream"
JPEG = "image/jpeg"
TOLD_OF_A_PICTURE = ("Gantry-Epoch", "Gantry-Seq", "Gantry-Captured-Ms", "Gantry-Clock", "Gantry-Size")
"""Headers that say which picture it is; a page of another origin may read them, too."""


class Metered(Meter, Protocol):
    """A meter with a page."""

    def page(self) -> tuple[bytes, str]:
        """The page as bytes, and its content type."""
        ...


class Cameras(msgspec.Struct, frozen=True, kw_only=True):
    """All cameras, by id."""

    items: list[CameraStatus]


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """All groups, by id."""

    items: list[Group]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Crossings, counted."""

    items: list[Count]


class TrueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """True and counted crossings."""

    items: list[TrueCount]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the live feed (ready) and the history have once reached the end of the log."""

    ready: bool
    history: bool


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    alive: bool = True


def _problem(text: str) -> ResponseSpec:
    return ResponseSpec(Problem, description=text, media_type=PROBLEM_JSON, generate_examples=False)


BAD = {400: _problem("a parameter is wrong")}
UNKNOWN = {404: _problem("there is no such thing")}
LATER = {503: _problem("not now: come again after Retry-After seconds")}


def http_app(
    *,
    feed: Feed,
    history: History,
    pictures: Pictures,
    truths: Truths,
    meter: Metered,
    redact: Callable[[str], str],
    origins: Sequence[str] = (),
) -> ASGIApp:
    """The API as an ASGI application.

    Args:
        redact: takes the secrets out of a camera's source before anyone sees it.
        origins: of pages elsewhere, like http://localhost:8081, which browsers let read what is answered.
    """
    view = View(feed, history, pictures, truths, redact)
    description = _described(view, meter)
    elsewhere = CORSConfig(
        allow_origins=list(origins), allow_methods=["GET", "HEAD"], expose_headers=list(TOLD_OF_A_PICTURE)
    )
    app = Litestar(
        _routes(view, meter, msgspec.json.encode(description)),
        guards=[known_parameters(description)],
        exception_handlers={HTTPException: refused, Poison: poison, Retry: retry, Exception: broken},
        cors_config=elsewhere if origins else None,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MOST_BODY,
        debug=False,
    )
    return Door(app, meter)


def _described(view: View, meter: Metered) -> dict[str, Any]:
    """The description (OpenAPI 3.1). The application that makes it serves nothing: it would add pages of its own."""
    config = OpenAPIConfig(
        title="gantry",
        version="1",
        description="Traffic data: cameras, events, flow. Times are UTC milliseconds of capture time.",
    )
    app = Litestar(_routes(view, meter, b""), openapi_config=config, logging_config=None)
    description = app.openapi_schema.to_schema()
    # Litestar does not know that some of our structs are written as arrays; msgspec, which writes them, does.
    shapes = (Cameras, CameraDetail, Groups, EventPage, FlowPage, Counts, TrueCounts, Problem, Alive, Ready)
    _, schemas = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    description["components"]["schemas"] |= schemas
    return description


def _routes(view: View, meter: Metered, description: bytes) -> list[HTTPRouteHandler]:
    return [
        *_registry(view),
        _picture(view),
        _events(view),
        _flow(view),
        _counts(view),
        _truth(view),
        _stream(view),
        *_own(view, meter),
        _openapi(description),
    ]


def _registry(view: View) -> list[HTTPRouteHandler]:
    @get("/api/v1/cameras", summary="All cameras and their state", responses=BAD)
    async def cameras() -> Cameras:
        return Cameras(items=[view.camera(camera) for camera in view.feed.cameras()])

    @get("/api/v1/cameras/{camera_id:str}", summary="One camera, its state and scene", responses=BAD | UNKNOWN | LATER)
    async def camera(
        camera_id: Annotated[str, PathParameter(description="Camera id.", max_length=LONGEST_TEXT)],
    ) -> CameraDetail:
        found = view.feed.camera(camera_id)
        if found is None:
            raise view.unknown("camera", camera_id, "path.camera_id")
        return view.camera(found)

    @get("/api/v1/groups", summary="All groups of cameras", responses=BAD)
    async def groups() -> Groups:
        return Groups(items=view.feed.groups())

    return [cameras, camera, groups]


def _picture(view: View) -> HTTPRouteHandler:
    jpeg = ResponseSpec(bytes, description="a JPEG", media_type=JPEG, generate_examples=False)

    @get(
        "/api/v1/cameras/{camera_id:str}/picture",
        summary="The newest picture of a camera, or one that was shown a moment ago",
        description=(
            "Which picture it is stands in the headers Gantry-Epoch, Gantry-Seq, Gantry-Captured-Ms, Gantry-Clock and"
            " Gantry-Size. Tracks of the live stream name the picture they were seen in by epoch and seq; it can be"
            " asked for by these for some seconds. Pictures are read from the log only while somebody asks for them."
        ),
        media_type=JPEG,
        responses=BAD | UNKNOWN | LATER | {200: jpeg},
    )
    async def picture(
        *,
        camera_id: Annotated[str, PathParameter(description="Camera id.", max_length=LONGEST_TEXT)],
        epoch: Annotated[int | None, QueryParameter(name="epoch", ge=0, description="With seq: this very one.")] = None,
        seq: Annotated[int | None, QueryParameter(name="seq", ge=0, description="With epoch: this very one.")] = None,
    ) -> Response[bytes]:
        if (epoch is None) != (seq is None):
            missing = "epoch" if epoch is None else "seq"
            raise mistake(ClientException, f"query.{missing}", "epoch and seq name a picture together: give both")
        if view.feed.camera(camera_id) is None:
            raise view.unknown("camera", camera_id, "path.camera_id")
        exactly = (epoch, seq) if epoch is not None and seq is not None else None
        found = await view.pictures.picture(camera_id, exactly)
        if isinstance(found, NoPicture):
            raise mistake(NotFoundException, "path.camera_id" if exactly is None else "query.seq", found.reason)
        of = found.header
        told = (of.epoch, of.seq, of.captured_ms, of.clock.value, of.size or "")
        return Response(
            found.jpeg,
            media_type=JPEG,
            headers={name: str(value) for name, value in zip(TOLD_OF_A_PICTURE, told, strict=True)},
        )

    return picture


def _events(view: View) -> HTTPRouteHandler:
    @get("/api/v1/events", summary="Traffic events, by capture time", responses=BAD | UNKNOWN | LATER)
    async def events(
        *,
        cameras: CameraNames = None,
        groups: GroupNames = None,
        line: Annotated[
            Text, QueryParameter(name="line", max_length=LONGEST_TEXT, description="Name of the line.")
        ] = None,
        direction: Annotated[Way | None, QueryParameter(name="direction", description="The side gone to.")] = None,
        label: Annotated[
            Text, QueryParameter(name="class", max_length=LONGEST_TEXT, description="Class of the vehicle.")
        ] = None,
        types: Annotated[
            list[EventType] | None,
            QueryParameter(name="type", max_items=len(EventType), description="Kind of event; may be repeated."),
        ] = None,
        zone: Annotated[
            Text, QueryParameter(name="zone", max_length=LONGEST_TEXT, description="Name of the zone.")
        ] = None,
        origin: Annotated[
            Text, QueryParameter(name="origin", max_length=LONGEST_TEXT, description="Where a movement began.")
        ] = None,
        destination: Annotated[
            Text, QueryParameter(name="destination", max_length=LONGEST_TEXT, description="Where a movement ended.")
        ] = None,
        since: From = None,
        until: To = None,
        order: Ordered = Order.NEWEST,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> EventPage:
        from_ms, to_ms = span(since, until)
        return await view.history.events(
            EventQuery(
                cameras=await view.members(cameras, groups),
                line=line,
                direction=direction,
                label=label,
                types=[each.value for each in types] if types is not None else None,
                zone=zone,
                origin=origin,
                destination=destination,
                from_ms=from_ms,
                to_ms=to_ms,
                newest_first=order is Order.NEWEST,
                after=cursor,
                limit=limit,
            )
        )

    return events


def _flow(view: View) -> HTTPRouteHandler:
    @get("/api/v1/flow", summary="Counts by window, by the window's start", responses=BAD | UNKNOWN | LATER)
    async def flow(
        *,
        cameras: CameraNames = None,
        groups: GroupNames = None,
        window_ms: Annotated[
            int | None,
            QueryParameter(name="window_ms", ge=1, le=LATEST_MS, description="Length of the windows, in milliseconds."),
        ] = None,
        since: From = None,
        until: To = None,
        order: Ordered = Order.NEWEST,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> FlowPage:
        from_ms, to_ms = span(since, until)
        await view.check_cameras(cameras)
        await view.check_groups(groups)
        return await view.history.flows(
            FlowQuery(
                cameras=cameras,
                groups=groups,
                window_ms=window_ms,
                from_ms=from_ms,
                to_ms=to_ms,
                newest_first=order is Order.NEWEST,
                after=cursor,
                limit=limit,
            )
        )

    return flow


def _counts(view: View) -> HTTPRouteHandler:
    @get(
        "/api/v1/counts",
        summary="How many crossed which line which way, by capture time",
        description="Of crossings that are in the history and valid: the camera's health was not known to be bad. What has none is missing; whether it was seen, coverage says.",
        responses=BAD | UNKNOWN | LATER,
    )
    async def counts(
        *, cameras: CameraNames = None, groups: GroupNames = None, since: From = None, until: To = None
    ) -> Counts:
        from_ms, to_ms = span(since, until)
        wanted = await view.members(cameras, groups)
        return Counts(items=await view.history.counts(CountQuery(cameras=wanted, from_ms=from_ms, to_ms=to_ms)))

    return counts


def _truth(view: View) -> HTTPRouteHandler:
    @get(
        "/api/v1/truth",
        summary="What truly crossed, of simulated cameras, beside what was counted",
        description="Until a moment a little before the newest picture. Empty where serve was given no truth.",
        responses=BAD | LATER,
    )
    async def truth() -> TrueCounts:
        return TrueCounts(items=await view.truths.counts())

    return truth


def _stream(view: View) -> HTTPRouteHandler:
    messages = ResponseSpec(
        str,
        description="messages without end",
        media_type=EVENT_STREAM,
        generate_examples=False,
    )

    @get(
        "/api/v1/stream",
        summary="What happens, live",
        description=(
            "Server-sent events named snapshot, event, flow, tracks and reset. A snapshot comes first; a reader that"
            " comes back with the last id it saw gets what it missed instead, or a reset and then a snapshot."
        ),
        media_type=EVENT_STREAM,
        responses=BAD | UNKNOWN | LATER | {200: messages},
    )
    async def stream(
        *,
        request: Request[Any, Any, Any],
        cameras: CameraNames = None,
        kinds: Annotated[
            list[Kind] | None,
            QueryParameter(name="kinds", max_items=3, description="What to send; may be repeated; all without it."),
        ] = None,
        token: Annotated[
            str | None, QueryParameter(name="token", max_length=LONGEST_TOKEN, description="The last id seen.")
        ] = None,
        last_event_id: Annotated[
            str | None,
            HeaderParameter(
                name="Last-Event-ID", max_length=LONGEST_TOKEN, description="The same; it wins over token."
            ),
        ] = None,
    ) -> Stream:
        await view.check_cameras(cameras)
        told = view.listen(cameras, kinds, token, last_event_id)
        return Stream(
            nothing() if request.scope.get(HEAD) else view.sent(told),
            media_type=EVENT_STREAM,
            headers={"X-Accel-Buffering": "no"},
        )

    return stream


def _own(view: View, meter: Metered) -> list[HTTPRouteHandler]:
    @get("/healthz", summary="The process answers", responses=BAD)
    async def healthz() -> Alive:
        return Alive()

    @get(
        "/readyz",
        summary="Whether the live feed has caught up with the log",
        responses=BAD | {503: ResponseSpec(Ready, description="not yet", generate_examples=False)},
    )
    async def readyz() -> Response[Ready]:
        live, kept = view.feed.caught_up()
        return Response(Ready(ready=live, history=kept), status_code=200 if live else 503)

    @get("/metrics", summary="Metrics for Prometheus", media_type=MediaType.TEXT, responses=BAD)
    async def metrics() -> Response[bytes]:
        body, kind = await asyncio.to_thread(meter.page)
        kind = kind.removesuffix("; charset=utf-8")  # Litestar says it once more
        return Response(body, media_type=kind)

    return [healthz, readyz, metrics]


def _openapi(description: bytes) -> HTTPRouteHandler:
    @get("/openapi.json", summary="This description", media_type=MediaType.JSON, responses=BAD)
    async def openapi() -> Response[dict[str, Any]]:
        return Response(description, media_type=MediaType.JSON)  # type: ignore[arg-type] # it is written already

    return openapi
