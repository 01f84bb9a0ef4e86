"""Secrets: references become values here, and values become *** again before anyone reads them.

A configuration never holds a secret, only where to find it: `${env:NAME}` or `${file:/path}`. What `resolve` gave
out is remembered for the life of the process, so that `redact` also finds it where no URL is around it.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

from pipeline.core.credentials import REFERENCE, without_credentials
from pipeline.errors import Fatal

_LEAST_LENGTH = 4  # a shorter "secret" would blank out half of every log and protects nobody

_given_out: set[str] = set()


def resolve(text: str) -> str:
    """Replace every reference to a secret by the secret.

    In the credentials and in the query of a URL the value is percent-encoded, so that a password may hold any
    character; everywhere else it is put in as it is (without a file's final line break).

    Raises:
        Fatal: naming the variable or the file that is missing, empty or unreadable; never its content.
    """
    out, end = [], 0
    for match in REFERENCE.finditer(text):
        value = _look_up(match["kind"], match["name"], match[0])
        before, after = (REFERENCE.sub("", part) for part in (text[: match.start()], text[match.end() :]))
        out += [text[end : match.start()], quote(value, safe="") if _must_be_encoded(before, after) else value]
        if not _names_a_user(before, after):
            remember(value)
        end = match.end()
    return "".join([*out, text[end:]])


def redact(text: str) -> str:
    """Remove the credentials of every URL in a text, and every secret that `resolve` gave out.

    `rtsp://cam:pw@host/1` becomes `rtsp://***@host/1`. Never raises; cheap enough for every line of a log.
    """
    for secret in sorted(_given_out, key=len, reverse=True):
        text = text.replace(secret, "***")
    return without_credentials(text)


def remember(secret: str) -> None:
    """From now on `redact` removes this value, percent-encoded or not. Of a whole URL it is the password."""
    url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^@/]*@)?", secret)
    if url is not None:
        password = url[0].partition("://")[2].removesuffix("@").partition(":")[2]
        secrets = {password, unquote(password)}
    else:
        secrets = {secret}
    for each in secrets:
        if len(each) >= _LEAST_LENGTH:
            _given_out.update({each, quote(each, safe=""), quote(each), quote_plus(each)})


def _look_up(kind: str, name: str, reference: str) -> str:
    if kind == "env" and name:
        value = os.environ.get(name)
        if value is None:
            raise Fatal(f"the environment variable {name} is not set, but {reference} asks for it")
    elif kind == "file" and name:
        try:
            value = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            why = (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "it is not text"
            raise Fatal(f"the secret file {name} cannot be read ({why}), but {reference} asks for it") from exc
    else:
        raise Fatal(f"{reference} is no reference to a secret: write ${{env:NAME}} or ${{file:/path}}")
    if not value:
        raise Fatal(f"{reference} is empty: put the secret there")
    return value


def _must_be_encoded(before: str, after: str) -> bool:
    return "://" in before and ("?" in before or _in_credentials(before, after))


def _in_credentials(before: str, after: str) -> bool:
    return "/" not in before.rpartition("://")[2] and "@" in after.partition("/")[0]


def _names_a_user(before: str, after: str) -> bool:
    """A user's name is no secret, and blanking it out everywhere would hide words like `admin`."""
    return "://" in before and after.startswith(":") and ":" not in before.rpartition("://")[2]
