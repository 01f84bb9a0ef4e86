"""Asks the API of serve: for the events of a camera, and for what is true of simulated ones."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pipeline.errors import Fatal, Retry
from pipeline.ports import TrueCount

SILENCE_S = 30.0
PAGE = 1000
MOST_BYTES = 64 << 20


def events(url: str, camera: str, *, from_ms: int, to_ms: int) -> Iterator[dict[str, Any]]:
    """Every event of a camera with a capture time in [from_ms, to_ms), oldest first.

    Args:
        url: of serve, like http://host:8080.
        camera: its id.

    Yields:
        Events as the API writes them.

    Raises:
        Fatal: the address is none, or the API refuses (its own words are told).
        Retry: nobody answers there, or not now.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise Fatal(f"{url}: an address like http://host:8080 is wanted")
    query = {"camera": camera, "from": from_ms, "to": to_ms, "order": "oldest", "limit": PAGE}
    cursor: str | None = None
    while True:
        page = _page(
            f"{url.rstrip('/')}/api/v1/events?{urlencode(query | ({'cursor': cursor} if cursor else {}))}", url
        )
        if not (isinstance(page, dict) and isinstance(page.get("items"), list)):
            raise Fatal(f"{url}: what answers there is no gantry")
        yield from page["items"]
        cursor = page.get("next")
        if not cursor or not page["items"]:
            return


def true_counts(url: str) -> list[TrueCount]:
    """What serve knows to be true beside what was counted; see /api/v1/truth.

    Raises:
        Fatal: what answers is no gantry.
        Retry: nobody answers there, or not now.
    """
    page = _page(f"{url}/api/v1/truth", url)
    try:
        return msgspec.convert(page["items"], list[TrueCount])
    except (KeyError, TypeError, msgspec.ValidationError) as exc:
        raise Fatal(f"{url}: what answers there is no gantry of this version") from exc


def _page(address: str, url: str) -> Any:
    try:
        with urllib.request.urlopen(address, timeout=SILENCE_S) as answer:  # noqa: S310 - the scheme was looked at
            return json.loads(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as exc:
        with exc:
            told = _problem(exc.read(MOST_BYTES)) or exc.reason
        raise (Retry if exc.code >= 500 else Fatal)(f"{url}: {told}") from exc  # noqa: PLR2004 - by the server's fault
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise Retry(f"{url}: nobody answers there: {reason}") from exc
    except ValueError as exc:
        raise Fatal(f"{url}: what answers there is no gantry") from exc


def _problem(body: bytes) -> str:
    """The words of a problem document (RFC 9457); empty where there are none."""
    try:
        problem = json.loads(body)
        return str(problem.get("detail") or problem.get("title") or "")
    except (ValueError, AttributeError):
        return ""
