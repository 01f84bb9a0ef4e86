"""Credentials in texts: told apart from references to them, and taken out before anyone reads the text.

Pure; looking a reference up is `pipeline.adapters.secrets`.
"""

import re

REFERENCE = re.compile(r"\$\{(?P<kind>[A-Za-z]*):?(?P<name>[^}]*)\}")
"""`${env:NAME}` or `${file:/path}`: where to find a secret."""

_NAMES = (
    r"(?:[a-z0-9_.-]*(?:passw(?:or)?d|passphrase|pwd|pass|token|secret|signature|credential)s?"
    r"|(?:api|access|auth)[_.-]?key|key|sig|auth|authorization|usr|user|username|login)"
)
_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:/{2,3})"
_AUTHORITY = re.compile(_SCHEME + r"(?P<credentials>[^\s/?#\"'<>]*)@")
# A password that should have been percent-encoded: what follows the colon is no port, and an @ comes later.
_ODD_AUTHORITY = re.compile(
    _SCHEME + r"(?P<credentials>(?!\*\*\*@)[^\s/?#@:\"'<>]+:(?!\d{1,5}(?:[/?#\s\"'<>]|$))[^\s\"'<>]*)@"
)
_PARAMETER = re.compile(rf"(?<=[?&;])(?P<name>{_NAMES})=(?P<value>[^\s&;#\"'<>]+)", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Replace the credentials of every URL in a text by `***`.

    `rtsp://cam:pw@host/1` becomes `rtsp://***@host/1`, and the values of query parameters that are named like
    secrets (`password=`, `user=`, `token=`...) become `***`. A reference (`${env:NAME}`) goes the same way.
    """
    text = _AUTHORITY.sub(r"\g<scheme>***@", text)
    text = _ODD_AUTHORITY.sub(r"\g<scheme>***@", text)
    return _PARAMETER.sub(r"\g<name>=***", text)


def holds_credentials(text: str) -> bool:
    """Whether a source holds credentials themselves instead of references to them.

    A user's name alone counts too: nobody can tell it from a token.
    """
    plain = REFERENCE.sub("", text)
    found = [m["credentials"].replace(":", "") for p in (_AUTHORITY, _ODD_AUTHORITY) for m in p.finditer(plain)]
    return any(found) or _PARAMETER.search(plain) is not None


def is_reference(text: str) -> bool:
    """Whether a text is nothing but one well-formed reference."""
    match = REFERENCE.fullmatch(text)
    return match is not None and match["kind"] in {"env", "file"} and bool(match["name"])
