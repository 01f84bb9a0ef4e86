"""The query parameters of the API: what they are called, what they may be, and what else is refused."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.types import Guard
from msgspec import Meta

from pipeline.adapters.http.problems import LONGEST_TEXT, mistake

LONGEST_PAGE = 1000
LONGEST_TOKEN = 24 * 1024
MOST_PLACES = 500
LATEST_MS = 253_402_300_799_999  # the end of the year 9999


class Order(StrEnum):
    """Which end of time a page begins at."""

    NEWEST = "newest"
    OLDEST = "oldest"


class Kind(StrEnum):
    """What a live reader can ask for."""

    EVENT = "event"
    FLOW = "flow"
    TRACKS = "tracks"


class EventType(StrEnum):
    """What kind of event."""

    CROSSING = "crossing"
    SPEED = "speed"
    ENTERED = "entered"
    LEFT = "left"
    OVERCROWDED = "overcrowded"
    MOVEMENT = "movement"
    UNFINISHED = "unfinished"
    HEALTH = "health"


_TIME = "UTC milliseconds, or RFC 3339 with an offset (2026-01-31T08:00:00Z)"
CameraNames = Annotated[
    list[Annotated[str, Meta(max_length=LONGEST_TEXT)]] | None,
    QueryParameter(name="camera", max_items=MOST_PLACES, description="Camera id; may be repeated."),
]
GroupNames = Annotated[
    list[Annotated[str, Meta(max_length=LONGEST_TEXT)]] | None,
    QueryParameter(name="group", max_items=MOST_PLACES, description="Group id; may be repeated."),
]
From = Annotated[str | None, QueryParameter(name="from", max_length=64, description=f"At or after: {_TIME}.")]
To = Annotated[str | None, QueryParameter(name="to", max_length=64, description=f"Before: {_TIME}.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=LONGEST_PAGE, description="Most items of a page.")]
Ordered = Annotated[Order, QueryParameter(name="order", description="Which end of time to begin at.")]
Cursor = Annotated[
    str | None,
    QueryParameter(name="cursor", max_length=2000, description="`next` of the page before, with the same filters."),
]
Text = str | None


def span(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """(from, to) in UTC milliseconds. Raises ClientException on what is no time, or the wrong way round."""
    from_ms, to_ms = _time(since, "from"), _time(until, "to")
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        raise mistake(ClientException, "query.from", f"from ({since}) is later than to ({until}): exchange them")
    return from_ms, to_ms


def _time(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    wrong = mistake(ClientException, f"query.{name}", f"{text!r} is no time: give {_TIME}; a + is written %2B in a URL")
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        ms = int(text)
    elif re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:?[0-9]{2})", text):
        try:
            ms = round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
        except (ValueError, OverflowError) as exc:
            raise wrong from exc
    else:
        raise wrong
    if abs(ms) > LATEST_MS:
        raise wrong
    return ms


def known_parameters(description: Mapping[str, Any]) -> Guard:
    """A guard that refuses parameters which the OpenAPI description does not have, and two values where one is meant."""
    known = {
        path: {
            parameter["name"]: _is_list(parameter["schema"])
            for parameter in item["get"].get("parameters", ())
            if parameter["in"] == "query"
        }
        for path, item in description["paths"].items()
    }

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        many = known.get(str(connection.scope.get("path_template")), {})
        for name in connection.query_params:
            where = f"query.{name[:LONGEST_TEXT]}"
            if name not in many:
                there = f"known are {', '.join(sorted(many))}" if many else "this address has none"
                raise mistake(ValidationException, where, f"there is no parameter {name[:LONGEST_TEXT]!r}: {there}")
            if not many[name] and len(connection.query_params.getall(name)) > 1:
                raise mistake(ValidationException, where, "is given twice: give it once")

    return guard


def _is_list(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_is_list(part) for part in schema.get("oneOf", ()))
