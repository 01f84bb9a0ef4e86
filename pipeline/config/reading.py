"""YAML text -> a tree that still knows its lines, or one clear message.

The words of YAML 1.2 are used (`yes`, `on`, `012` and `12:30` are text, not surprises). Nothing in a file can
make reading it expensive: its bytes, its depth and what its aliases unfold to are limited.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pipeline.errors import Fatal

MAX_BYTES = 16 * 1024 * 1024
"""Ten thousand cameras with scenes are about half of it."""

LINE = 60  # characters of a value that a message shows
MAX_DEPTH = 40
MAX_NODES = 2_000_000

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class Mistake(msgspec.Struct, frozen=True, order=True):
    """One thing to mend: where, and what."""

    file: str  # or "environment"
    line: int  # 0: the whole file
    path: str  # cameras.north.fps; empty: the whole file
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.text}" if self.path else f"{place}: {self.text}"


class Mistakes(Fatal):
    """Everything that is wrong with a configuration, in the order of its lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class Scalar(msgspec.Struct, frozen=True):
    """A single value. `value` is what YAML 1.2 makes of it, `text` how it was written."""

    line: int
    value: str | int | float | bool | None
    text: str


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    line: int
    items: list["Node"]


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values; keys are text as written, so a camera may be called 012 or no."""

    line: int
    entries: dict[str, "Entry"]


Node = Scalar | Sequence | Mapping


class Entry(msgspec.Struct, frozen=True):
    """One key of a mapping and its value."""

    line: int
    node: Node


def read_text(path: Path, name: str | None = None) -> str:
    """The text of a file.

    Raises:
        Mistakes: one, naming the file: it is missing, not readable, no file, too large, or not UTF-8.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            raise _whole(name, "is a folder; name the YAML file in it")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        why = {"FileNotFoundError": "there is no such file", "PermissionError": "it may not be read by this user"}
        raise _whole(name, why.get(type(exc).__name__, f"cannot be read: {exc.strerror}")) from exc
    if len(raw) > MAX_BYTES:
        raise _whole(name, f"is larger than {MAX_BYTES // 1024**2} MiB; an installation file never is")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise Mistakes([Mistake(name, line, "", "is not UTF-8 text; save the file as UTF-8")]) from exc


def read_yaml(text: str, name: str) -> tuple[Mapping, list[Mistake]]:
    """A document whose root is a mapping, and the keys that are there twice.

    An empty document is an empty mapping.

    Raises:
        Mistakes: one: the text is no YAML, its root is no mapping, or it unfolds to too much.
    """
    builder = _Builder(name)
    try:
        root = builder.document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        what = " ".join(part for part in (exc.problem, exc.context) if part)
        line = mark.line + 1 if mark is not None else 0
        raise Mistakes([Mistake(name, line, "", f"is not YAML: {what}")]) from exc
    except (yaml.YAMLError, ValueError) as exc:
        raise _whole(name, f"is not YAML: {' '.join(str(exc).split())}") from exc
    if isinstance(root, Scalar) and root.value is None:
        root = Mapping(root.line, {})
    if not isinstance(root, Mapping):
        got = "a list" if isinstance(root, Sequence) else f"the text {shown(root.text)}"
        raise Mistakes([Mistake(name, root.line, "", f"must hold keys like `cameras:`, got {got}")])
    return root, builder.mistakes


def shown(value: object) -> str:
    """A value as an error may show it: short, one line."""
    text = repr(value)
    return text if len(text) <= LINE else f"{text[:LINE]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean fps?)`, or the whole choice where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1, 0.6) or [k for k in known if k.lower() == word.lower()]
    if near:
        return f" (did you mean {near[0]}?)"
    return f" (known: {', '.join(known)})" if known else ""


class _Builder:
    """Makes the tree out of the parser's events, without recursion, so that no depth can overflow a stack."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mistakes: list[Mistake] = []
        self.nodes = 0
        self.anchors: dict[str, Node] = {}
        self.weight: dict[int, int] = {}  # nodes an anchored tree unfolds to, by id()

    def document(self, events: Iterator[Any]) -> Node:
        """The one document of the text."""
        root: Node | None = None
        stack: list[_Open] = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise self._stop(event, "holds a second document (---); one file is one document")
            if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._open(event, stack)
                continue
            done = self._done(event, stack)
            if done is None:
                continue
            if stack:
                stack[-1].items.append(done)
            else:
                root = done
        return root if root is not None else Scalar(1, None, "")

    def _open(self, event: Any, stack: list["_Open"]) -> None:
        """A list or mapping begins."""
        if len(stack) >= MAX_DEPTH:
            raise self._stop(event, f"is nested deeper than {MAX_DEPTH} levels")
        line = event.start_mark.line + 1
        line = stack[-1].line_of_next(line) if stack else line
        stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), event.anchor, self.nodes))
        self._grow(1, event)

    def _done(self, event: Any, stack: list["_Open"]) -> Node | None:
        """The node that is whole with this event, if any."""
        done: Node | None = None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._grow(1, event)
            done = Scalar(line, _value(event), event.value)
            self._anchor(event.anchor, done, 1)
        elif isinstance(event, yaml.AliasEvent):
            done = self.anchors.get(str(event.anchor))
            if done is None:
                raise self._stop(event, f"*{event.anchor} names no &{event.anchor} before it")
            self._grow(self.weight[id(done)], event)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            top = stack.pop()
            done = self._mapping(top, stack) if top.is_mapping else Sequence(top.line, top.items)
            self._anchor(top.anchor, done, self.nodes - top.nodes_before)
        return done

    def _stop(self, event: Any, text: str) -> Mistakes:
        return Mistakes([Mistake(self.name, event.start_mark.line + 1, "", text)])

    def _grow(self, by: int, event: Any) -> None:
        self.nodes += by
        if self.nodes > MAX_NODES:
            raise self._stop(event, f"unfolds to more than {MAX_NODES} values; aliases repeat too much")

    def _anchor(self, anchor: str | None, node: Node, weight: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
            self.weight[id(node)] = weight

    def _mapping(self, top: "_Open", stack: list["_Open"]) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        keys, values = top.items[::2], top.items[1::2]
        at = ".".join(_path(stack))
        for key, node in zip(keys, values, strict=True):
            if not isinstance(key, Scalar):
                self.mistakes.append(Mistake(self.name, key.line, at, "a key must be a word, not a list or mapping"))
            elif key.text == "<<":
                merged += node.items if isinstance(node, Sequence) else [node]
            elif key.text in entries:
                first = entries[key.text].line
                path = f"{at}.{key.text}" if at else key.text
                self.mistakes.append(
                    Mistake(self.name, key.line, path, f"is there twice, first in line {first}; keep one")
                )
            else:
                entries[key.text] = Entry(key.line, node)
        for node in merged:
            if not isinstance(node, Mapping):
                self.mistakes.append(Mistake(self.name, node.line, at, "<<: takes a mapping, by *name"))
                continue
            for name, entry in node.entries.items():
                entries.setdefault(name, entry)
        return Mapping(top.line, entries)


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("anchor", "is_mapping", "items", "line", "nodes_before")

    def __init__(self, line: int, is_mapping: bool, anchor: str | None, nodes_before: int) -> None:
        self.line, self.is_mapping, self.anchor, self.nodes_before = line, is_mapping, anchor, nodes_before
        self.items: list[Node] = []

    def line_of_next(self, line: int) -> int:
        """A list or mapping under a key is known by the line of that key."""
        return self.items[-1].line if self.is_mapping and len(self.items) % 2 else line


def _path(stack: list[_Open]) -> Iterator[str]:
    for level in stack:
        if level.is_mapping:
            key = level.items[-1]
            yield key.text if isinstance(key, Scalar) else "?"
        else:
            yield str(len(level.items))


def _value(event: Any) -> str | float | bool | None:
    if not event.implicit[0]:  # quoted, or with a tag: it is text
        return str(event.value)
    text: str = event.value
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[no-any-return]
    if _INTEGER.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return int(text)
    if _NUMBER.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    return text


def _whole(name: str, text: str) -> Mistakes:
    return Mistakes([Mistake(name, 0, "", text)])
