"""Answers that are no success: problems by RFC 9457, with what is wrong, where, and what to do. Never a traceback."""

import logging
from collections.abc import Iterator, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any, TypeVar, get_args

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from pipeline.errors import Fatal, Poison, Retry

log = logging.getLogger("gantry.serve")

PROBLEM_JSON = "application/problem+json"
LONGEST_TEXT = 200
RETRY_AFTER_S = "5"

E = TypeVar("E", bound=HTTPException)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request."""

    where: str  # query.limit, path, header.Last-Event-ID...
    what: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not answered, and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[Mistake]


def mistake(kind: type[E], where: str, what: str) -> E:
    """An error to raise about one place of a request."""
    return kind(detail=what, extra=[{"key": where, "message": what}])


def problem(
    request: Request[Any, Any, Any], status: int, detail: str, errors: Sequence[Mistake] = (), **headers: str
) -> Response[Problem]:
    """The answer itself; headers are written with _ for -."""
    title = HTTPStatus(status).phrase
    body = Problem(
        type=f"urn:gantry:problem:{title.lower().replace(' ', '-')}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=list(errors),
    )
    return Response(
        body,
        status_code=status,
        media_type=PROBLEM_JSON,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def refused(request: Request[Any, Any, Any], exc: HTTPException) -> Response[Problem]:
    """A request that cannot be answered as it is."""
    mistakes = list(_mistakes(request, exc))
    status = exc.status_code
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not understood here: only GET, HEAD and OPTIONS are"
        return problem(request, status, detail, Allow="GET, HEAD, OPTIONS")
    if status == HTTPStatus.NOT_FOUND and not mistakes:
        detail = "there is nothing at this address: see /openapi.json for what there is"
    elif mistakes:
        detail = "; ".join(f"{m.where}: {m.what}" for m in mistakes)
    else:
        detail = exc.detail
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return problem(request, status, detail, mistakes, Retry_After=RETRY_AFTER_S)
    return problem(request, status, detail, mistakes)


def _mistakes(request: Request[Any, Any, Any], exc: HTTPException) -> Iterator[Mistake]:
    """What is wrong, under the names that clients know: `from`, where the handler says `since`."""
    handler = request.scope.get("route_handler")
    fields = handler.parsed_fn_signature.parameters if handler is not None else {}
    for found in exc.extra if isinstance(exc.extra, list) else ():
        where, source = str(found.get("key", "")), found.get("source")
        what = str(found.get("message", "")).replace("`", "'")
        if field := fields.get(where):
            where = getattr(field.kwarg_definition, "name", None) or where
            if choices := _choices(field.annotation):
                what += f"; there are {', '.join(choices)}"
        yield Mistake(where=f"{getattr(source, 'value', source)}.{where}" if source else where, what=what)


def _choices(annotation: Any) -> list[str]:
    """The values of an enumeration, wherever it hides in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(choice.value) for choice in annotation]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def poison(request: Request[Any, Any, Any], exc: Poison) -> Response[Problem]:
    """A cursor that is none: nothing else of a request reaches the history unread."""
    return problem(request, 400, str(exc), [Mistake(where="query.cursor", what=str(exc))])


def retry(request: Request[Any, Any, Any], exc: Retry) -> Response[Problem]:
    """Not now."""
    return problem(request, 503, str(exc), Retry_After=RETRY_AFTER_S)


def broken(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    """Our own fault: the log gets one line, the client none of it."""
    at = exc.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at is not None else "?"
    if isinstance(exc, Fatal):
        log.error("%s: %s", request.url.path, exc)
    else:
        log.error("%s: %s at %s", request.url.path, type(exc).__name__, place)
    return problem(
        request, 500, "the request could not be answered: this is no fault of yours; the log of serve has more"
    )
