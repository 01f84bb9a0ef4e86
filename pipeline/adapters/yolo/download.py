"""Weights from the net: one file, whole and of the right digest, or nothing.

The bytes go into a hidden file beside the wanted one, which takes its name only when all of them are there and
their digest is right. A download that breaks begins anew: weights are small, and a server may have changed the file.
"""

import hashlib
import http.client
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from pipeline.core.credentials import without_credentials
from pipeline.errors import Fatal, Retry

RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.3.0"
"""Where Ultralytics publishes weights; `--from` and GANTRY_MODELS_URL name another place."""

NAMES = tuple(f"{family}{size}" for family in ("yolov8", "yolo11") for size in "nsmlx")
"""Models that `RELEASE` holds, as NAME.pt."""

PINNED = {
    "yolov8n": "f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
    "yolov8s": "1f47a78bf100391c2a140b7ac73a1caae18c32779be7d310658112f7ac9aa78a",
}
"""SHA-256 of the files we know. Other names are downloaded without a digest to hold them to."""

_SILENCE_S = 30
_CHUNK = 1 << 18
_MOST_BYTES = 2 << 30

Progress = Callable[[int, int | None], None]
"""Told how many bytes are there, of how many (None: the server did not say)."""


class Downloaded(msgspec.Struct, frozen=True):
    """A file that came whole."""

    path: Path
    size: int  # bytes
    sha256: str


def download(url: str, to: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Downloaded:
    """Fetch one file.

    Args:
        url: http or https, without a user's name in it.
        to: the file to make; one that is there is replaced when, and only when, the new one is whole.
        sha256: the digest it must have, hexadecimal.
        progress: called after every piece.

    Raises:
        Retry: the server cannot be reached, is busy, or the connection broke; nothing was kept.
        Fatal: the server has no such file, the digest is wrong, or the place cannot be written.
    """
    shown = _shown(url)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        # The request itself is outside the temporary file's life, so that a server that says no leaves no trace.
        with _opened(url) as answer:
            said = answer.headers.get("Content-Length")
            total = int(said) if said is not None and said.isdigit() else None
            with tempfile.NamedTemporaryFile(prefix=f".{to.name}-", dir=to.parent, delete=False) as part:
                partial = Path(part.name)
                try:
                    done, digest = _copy(answer, part, total, progress, shown)
                    part.close()
                    _check(shown, done, total, digest, sha256)
                    partial.chmod(0o644)
                    partial.replace(to)
                finally:
                    with suppress(OSError):
                        partial.unlink(missing_ok=True)
    except urllib.error.HTTPError as exc:
        exc.close()  # it is an open answer, too
        busy = exc.code in {408, 425, 429} or exc.code >= 500  # noqa: PLR2004 - HTTP's own
        raise (Retry if busy else Fatal)(f"{shown} answers {exc.code} {exc.reason}") from exc
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as exc:
        why = exc.reason if isinstance(exc, urllib.error.URLError) else str(exc) or type(exc).__name__
        raise Retry(f"cannot download {shown}: {why}; nothing was kept, run it again") from exc
    except OSError as exc:
        raise Fatal(f"cannot write {exc.filename or to}: {exc.strerror or exc}") from exc
    return Downloaded(to, done, digest)


def _opened(url: str) -> Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Fatal(f"weights are downloaded from an http:// or https:// address, not from {_shown(url)}")
    if parts.username is not None:
        raise Fatal(
            f"the address {_shown(url)} holds a user's name: download the file yourself and export it from there"
        )
    asked = urllib.request.Request(url, headers={"User-Agent": "gantry"})  # noqa: S310 - the scheme is checked above
    return urllib.request.urlopen(asked, timeout=_SILENCE_S)  # noqa: S310


def _copy(answer: Any, part: IO[bytes], total: int | None, progress: Progress | None, shown: str) -> tuple[int, str]:
    digest, done = hashlib.sha256(), 0
    while piece := answer.read(_CHUNK):
        part.write(piece)
        digest.update(piece)
        done += len(piece)
        if done > _MOST_BYTES:
            raise Fatal(f"{shown} sends more than {_MOST_BYTES >> 30} GiB, which no weights have")
        if progress is not None:
            progress(done, total)
    return done, digest.hexdigest()


def _check(shown: str, done: int, total: int | None, digest: str, wanted: str | None) -> None:
    if total is not None and done != total:
        raise Retry(f"{shown} ended after {done} of {total} bytes; nothing was kept, run it again")
    if wanted is not None and digest != wanted.lower():
        raise Fatal(
            f"{shown} is not the expected file: its SHA-256 is {digest}, not {wanted.lower()}; nothing was kept"
        )


def _shown(url: str) -> str:
    """The address without what may be a secret."""
    return without_credentials(url.partition("?")[0])
