"""JSON that people wrote or changed -> a typed value; everything that is wrong with it is told at once.

What machines send is decoded by `codec`, which stops at the first mistake.
"""

import types
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from pipeline.errors import Fatal

TELLS = 30
"""A message lists so many mistakes and counts the rest."""

T = TypeVar("T")


def checked(data: bytes, kind: type[T], *, name: str) -> T:
    """The bytes as a value of a struct type.

    Args:
        data: JSON.
        kind: what it must be; its bounds and its own rules are held against it.
        name: of the file; it stands before every mistake.

    Raises:
        Fatal: all mistakes, each with its place: `name: passages[3].t_ms: Expected ...`.
    """
    tree = decoded(data, name=name)
    if found := mistakes(tree, kind):
        raise mistaken(found, name=name)
    return msgspec.convert(tree, kind)


def decoded(data: bytes, *, name: str) -> Any:
    """The bytes as plain lists and dicts. Raises Fatal: they are not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Fatal(f"{name}: is not JSON: {exc}") from exc


def mistakes(tree: Any, kind: type[Any]) -> list[tuple[str, str]]:
    """Everything that keeps decoded JSON from being a value of a type, each with its place; none: it is one."""
    try:
        msgspec.convert(tree, kind)
    except msgspec.ValidationError as exc:
        found: list[tuple[str, str]] = []
        _look(tree, kind, "", found)
        return found or [("", str(exc))]
    return []


def mistaken(found: list[tuple[str, str]], *, name: str) -> Fatal:
    """Mistakes, each a place and a text, as one error."""
    lines = [": ".join(part for part in (name, place, text) if part) for place, text in found[:TELLS]]
    if len(found) > TELLS:
        lines.append(f"{name}: and {len(found) - TELLS} more mistakes")
    return Fatal("\n".join(lines))


def _look(value: Any, kind: Any, place: str, found: list[tuple[str, str]]) -> None:
    """Note what is wrong with a value: with its parts where they are wrong, else with the whole."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        before = len(found)
        inner = _bare(kind)
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _look_into(value, inner, place, found)
        elif isinstance(value, list) and get_origin(inner) in {list, tuple}:
            for at, (item, each) in enumerate(zip(value, _kinds(inner, len(value)), strict=False)):
                _look(item, each, f"{place}[{at}]", found)
        elif isinstance(value, dict) and get_origin(inner) is dict:
            for key, item in value.items():
                _look(item, get_args(inner)[1], f"{place}.{key}" if place else key, found)
        if len(found) == before:
            found.append((place, _plain(exc)))


def _look_into(value: dict[str, Any], kind: type[msgspec.Struct], place: str, found: list[tuple[str, str]]) -> None:
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    for key, item in value.items():
        there = f"{place}.{key}" if place else key
        if key in fields:
            _look(item, hints[fields[key].name], there, found)
        elif key != tag and kind.__struct_config__.forbid_unknown_fields:
            found.append((there, f"is no known key (known: {', '.join(fields)})"))
    for key, field in fields.items():
        if field.required and key not in value:
            found.append((f"{place}.{key}" if place else key, "is missing"))


def _bare(kind: Any) -> Any:
    """A type without its bounds and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        others = [each for each in get_args(kind) if each is not types.NoneType]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _kinds(kind: Any, many: int) -> list[Any]:
    """The types of the items of a list or tuple."""
    args = get_args(kind)
    if get_origin(kind) is list or (len(args) == 2 and args[1] is ...):  # noqa: PLR2004 - tuple[X, ...]
        return [args[0]] * many
    return list(args)


def _plain(exc: msgspec.ValidationError) -> str:
    """Msgspec's words without its own place, and none of its quotes."""
    text, _, _ = str(exc).partition(" - at `")
    return text.replace("`", "")
