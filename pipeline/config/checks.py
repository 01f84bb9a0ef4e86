"""A tree of YAML -> typed values; every mistake is noted with its place, none stops the rest."""

import math
import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from typing import Any, cast

import msgspec
from msgspec import inspect as shape

from pipeline.config.reading import Entry, Mapping, Mistake, Node, Scalar, Sequence, did_you_mean, shown
from pipeline.config.settings import ORIGIN_PATTERN, SERVER_PATTERN, URL_PATTERN
from pipeline.core.credentials import is_reference, without_credentials
from pipeline.core.model import ID_PATTERN

BAD: Any = object()
"""Stands for a value that could not be made; its mistake is noted."""

NAME_RULE = "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit, at most 63 long"
SIZE_PATTERN = r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$"
PATTERNS = {
    ID_PATTERN: NAME_RULE,
    SIZE_PATTERN: "a size in pixels, like 1280x720",
    SERVER_PATTERN: "host:port, like localhost:9092",
    ORIGIN_PATTERN: "http:// or https://, a host and perhaps a port, like https://traffic.example, and nothing after it",
    URL_PATTERN: "an address like http://host:8080, without a user or a password",
}
"""What a text must be, in words instead of a regular expression."""

REFERENCE_RULE = "must be a reference, never the secret itself: write ${env:NAME} or ${file:/path/of/a/file}"

Path = tuple[str | int, ...]


class Checker:
    """Turns nodes into values of msgspec types and collects what is wrong.

    Besides what msgspec knows (types, bounds, patterns, a struct's own ValueError), a field's
    `Meta(extra={"secret": True})` asks for a reference, and `Meta(extra={"check": f})` for f(value) -> what is wrong
    with it, or "".

    Args:
        file: the name that stands before every mistake.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []

    def say(self, line: int, path: Path, text: str) -> None:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.file, line, dotted(path), text))

    def value(self, node: Node, kind: Any, path: Path = ()) -> Any:
        """The node as a value of `kind` (anything msgspec knows), or BAD with its mistakes noted."""
        return self._value(node, shape.type_info(kind), path, secret=False)

    def field(self, node: Node, field: shape.Field, path: Path) -> Any:
        """The node as a value of one field of a struct, or BAD."""
        return self._value(node, field.type, path, secret=False)

    def parts(self, root: Mapping, kind: Any) -> dict[str, Any]:
        """The good parts of a mapping of struct type `kind`, by name; a bad part never spoils the others."""
        info = shape.type_info(kind)
        assert isinstance(info, shape.StructType)
        made = self._fields(root.entries, info, ())
        return {name: value for name, value in made.items() if value is not BAD}

    def _value(self, node: Node, kind: shape.Type, path: Path, *, secret: bool) -> Any:
        match kind:
            case shape.Metadata():
                extra = kind.extra or {}
                made = self._value(node, kind.type, path, secret=secret or bool(extra.get("secret")))
                if "check" in extra and made is not BAD and made is not None and (wrong := extra["check"](made)):
                    self.say(node.line, path, wrong)
                    made = BAD
            case shape.UnionType():
                made = self._union(node, kind, path, secret=secret)
            case shape.StructType():
                made = self._struct(node, kind, path)
            case shape.DictType():
                made = self._dict(node, kind, path)
            case shape.ListType():
                made = self._list(node, kind, path)
            case shape.TupleType():
                made = self._tuple(node, kind, path)
            case _:
                made = self._scalar(node, kind, path, secret=secret)
        return made

    def _union(self, node: Node, kind: shape.UnionType, path: Path, *, secret: bool) -> Any:
        if isinstance(node, Scalar) and node.value is None and kind.includes_none:
            return None
        others = [each for each in kind.types if not isinstance(each, shape.NoneType)]
        if len(others) != 1:
            raise TypeError(f"{dotted(path)}: a setting has one type, or one type and none; got {kind}")
        return self._value(node, others[0], path, secret=secret)

    def _struct(self, node: Node, kind: shape.StructType, path: Path) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        entries = self._entries(node, path, f"keys like `{next(iter(fields))}:`")
        if entries is BAD:
            return BAD
        made = self._fields(entries, kind, path)
        missing = [name for name, field in fields.items() if field.required and name not in entries]
        for name in missing:
            self.say(node.line, (*path, name), "is missing")
        if missing or BAD in made.values():
            return BAD
        try:
            return kind.cls(**made)
        except ValueError as exc:  # a rule of the noun itself
            self.say(node.line, path, str(exc))
            return BAD

    def _fields(self, entries: dict[str, Entry], kind: shape.StructType, path: Path) -> dict[str, Any]:
        fields = {field.encode_name: field for field in kind.fields}
        made: dict[str, Any] = {}
        for key, entry in entries.items():
            if key not in fields:
                self.say(entry.line, (*path, key), f"is no known key{did_you_mean(key, fields)}")
            else:
                made[fields[key].name] = self._value(entry.node, fields[key].type, (*path, key), secret=False)
        return made

    def _dict(self, node: Node, kind: shape.DictType, path: Path) -> Any:
        entries = self._entries(node, path, "names and their values")
        if entries is BAD:
            return BAD
        made = {}
        pattern = getattr(_bare(kind.key_type), "pattern", None)
        for key, entry in entries.items():
            if pattern is not None and not re.search(pattern, key):
                self.say(entry.line, (*path, key), f"must be {PATTERNS.get(pattern, pattern)}")
                self._value(entry.node, kind.value_type, (*path, key), secret=False)  # for its own mistakes
            else:
                made[key] = self._value(entry.node, kind.value_type, (*path, key), secret=False)
        return {key: value for key, value in made.items() if value is not BAD}

    def _entries(self, node: Node, path: Path, wanted: str) -> Any:
        if isinstance(node, Scalar) and node.value is None:
            return {}
        if not isinstance(node, Mapping):
            self.say(node.line, path, f"must hold {wanted}, got {told(node)}")
            return BAD
        return node.entries

    def _list(self, node: Node, kind: shape.ListType, path: Path) -> Any:
        if not isinstance(node, Sequence):
            self.say(node.line, path, f"must be a list, like [a, b], got {told(node)}")
            return BAD
        if len(node.items) < (kind.min_length or 0):
            one = "entry" if kind.min_length == 1 else "entries"
            self.say(node.line, path, f"needs at least {kind.min_length} {one}, got {len(node.items)}")
            return BAD
        made = [self._value(item, kind.item_type, (*path, at), secret=False) for at, item in enumerate(node.items)]
        return BAD if BAD in made else made

    def _tuple(self, node: Node, kind: shape.TupleType, path: Path) -> Any:
        if not isinstance(node, Sequence) or len(node.items) != len(kind.item_types):
            got = f"{len(node.items)} values" if isinstance(node, Sequence) else told(node)
            wanted = "a point, written [x, y]" if len(kind.item_types) == 2 else f"{len(kind.item_types)} values"  # noqa: PLR2004 - x and y
            self.say(node.line, path, f"must be {wanted}, got {got}")
            return BAD
        items = zip(node.items, kind.item_types, strict=True)
        made = [self._value(item, each, (*path, at), secret=False) for at, (item, each) in enumerate(items)]
        return BAD if BAD in made else tuple(made)

    def _scalar(self, node: Node, kind: shape.Type, path: Path, *, secret: bool) -> Any:
        if not isinstance(node, Scalar):
            rule = REFERENCE_RULE if secret else f"must be {_wanted(BAD, kind)}, got {told(node)}"
            self.say(node.line, path, rule)
            return BAD
        value: Any = node.value
        if secret and not is_reference(node.text):
            self.say(node.line, path, REFERENCE_RULE)
            return BAD
        if isinstance(kind, shape.StrType) and kind.pattern == ID_PATTERN and _is_whole(value):
            value = node.text  # cameras may be numbered
        if wanted := _wanted(value, kind):
            self.say(node.line, path, f"must be {wanted}, got {told(node)}{_hint(node, kind)}")
            return BAD
        return float(value) if isinstance(kind, shape.FloatType) else value


def _wanted(value: Any, kind: shape.Type) -> str:
    """What a setting must be, in words; empty where it is."""
    match kind:
        case shape.IntType() if not _within(value, kind, (int,)):
            return f"a whole number{_bounds(kind)}"
        case shape.FloatType() if not _within(value, kind, (int, float)):
            return f"a number{_bounds(kind)}"
        case shape.BoolType() if not isinstance(value, bool):
            return "true or false"
        case shape.LiteralType() if not (isinstance(value, str) and value in kind.values):
            return f"one of {', '.join(map(str, kind.values))}"
        case shape.StrType():
            return _wanted_text(value, kind)
    return ""


def _wanted_text(value: Any, kind: shape.StrType) -> str:
    if not isinstance(value, str):
        return PATTERNS.get(kind.pattern or "", "text")
    if len(value) < (kind.min_length or 0):
        return "text that is not empty"
    if kind.pattern is None or re.search(kind.pattern, value):
        return ""
    return PATTERNS.get(kind.pattern, f"text that matches {kind.pattern}")


def _hint(node: Node, kind: shape.Type) -> str:
    if not isinstance(node, Scalar) or node.value is None:
        return ""
    if isinstance(kind, shape.StrType) and kind.pattern is None and not isinstance(node.value, str):
        return f' (put it in quotes: "{node.text}")'
    if isinstance(kind, shape.LiteralType):
        near = did_you_mean(node.text, map(str, kind.values))
        return near if "did you mean" in near else ""
    return ""


def dotted(path: Iterable[str | int]) -> str:
    """`("cameras", "north", "points", 2)` -> `cameras.north.points[2]`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def told(node: Node) -> str:
    """What stands there, as an error may show it: short, and without credentials."""
    if isinstance(node, Mapping):
        return "keys and values"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, str):
        return shown(without_credentials(node.value))
    return node.text


def line_of(root: Node, path: Path) -> int:
    """The line of the deepest part of a path that is in the file."""
    line = root.line
    for step in path:
        if isinstance(root, Mapping) and step in root.entries:
            entry = root.entries[str(step)]
            line, root = entry.line, entry.node
        elif isinstance(root, Sequence) and isinstance(step, int) and step < len(root.items):
            root = root.items[step]
            line = root.line
        else:
            break
    return line


def from_text(text: str, kind: shape.Type) -> Node:
    """An environment variable's text as the node that the same text would be in a file; lists by commas."""
    while isinstance(kind, shape.Metadata | shape.UnionType):
        kind = _bare(kind)
    if isinstance(kind, shape.ListType):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return Sequence(0, [from_text(part, kind.item_type) for part in parts])
    if isinstance(kind, shape.StrType | shape.LiteralType):
        return Scalar(0, text, text)
    if text.strip().lower() in {"", "none", "null"}:
        return Scalar(0, None, text)
    readers: tuple[Callable[[str], Any], ...] = (_boolean, int, float)
    for reader in readers:
        try:
            return Scalar(0, reader(text.strip()), text)
        except ValueError:
            continue
    return Scalar(0, text, text)


def leaves(kind: Any) -> MappingType[Path, shape.Field]:
    """Every single setting under a struct type, by path."""
    found: dict[Path, shape.Field] = {}
    info = shape.type_info(kind)
    assert isinstance(info, shape.StructType)
    for field in info.fields:
        inner = _bare(field.type)
        if isinstance(inner, shape.StructType):
            found |= {(field.encode_name, *path): leaf for path, leaf in leaves(inner.cls).items()}
        else:
            found[(field.encode_name,)] = field
    return found


def is_secret(field: shape.Field) -> bool:
    """Whether a setting is marked as a reference to a secret."""
    return isinstance(field.type, shape.Metadata) and bool((field.type.extra or {}).get("secret"))


def replaced(struct: Any, path: Path, value: Any) -> Any:
    """The struct with one of its settings, however deep, changed."""
    name = str(path[0])
    if len(path) > 1:
        value = replaced(getattr(struct, name), path[1:], value)
    return msgspec.structs.replace(struct, **{name: value})


def _bare(kind: shape.Type) -> shape.Type:
    if isinstance(kind, shape.Metadata):
        return _bare(kind.type)
    if isinstance(kind, shape.UnionType):
        return _bare(next(each for each in kind.types if not isinstance(each, shape.NoneType)))
    return kind


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    raise ValueError(text)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _within(value: Any, kind: Any, types: tuple[type, ...]) -> bool:
    if not isinstance(value, types) or isinstance(value, bool):
        return False
    value = cast("float", value)
    return bool(
        math.isfinite(value)
        and (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
        and (kind.lt is None or value < kind.lt)
        and (kind.multiple_of is None or value % kind.multiple_of == 0)
    )


def _bounds(kind: Any) -> str:
    low, high = kind.ge if kind.ge is not None else kind.gt, kind.le if kind.le is not None else kind.lt
    out = ""
    if kind.ge is not None and kind.le is not None:
        out = f" from {_number(kind.ge)} to {_number(kind.le)}"
    elif low is not None and high is not None:
        out = f" between {_number(low)} and {_number(high)}"
    elif low is not None:
        out = f" of at least {_number(low)}" if kind.ge is not None else f" above {_number(low)}"
    elif high is not None:
        out = f" of at most {_number(high)}" if kind.le is not None else f" below {_number(high)}"
    return out + (f", a multiple of {_number(kind.multiple_of)}" if kind.multiple_of is not None else "")


def _number(value: float) -> str:
    return f"{value:g}" if value < 1e6 else str(int(value))  # noqa: PLR2004 - readable
