from typing import Annotated

import msgspec
import pytest

from pipeline.errors import Fatal
from pipeline.wire.checked import checked


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = msgspec.field(name="called")
    share: Annotated[float, msgspec.Meta(le=1)] | None = None
    at: tuple[int, int] = (0, 0)

    def __post_init__(self):
        if self.name == "nobody":
            raise ValueError("a part needs a name")


class Whole(msgspec.Struct, frozen=True):
    many: tuple[Part, ...]
    size: int
    names: dict[str, Part] = {}
    rows: list[list[int]] = []


class Tagged(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="t", tag_field="kind"):
    size: int


def mistakes(text):
    with pytest.raises(Fatal) as failed:
        checked(text.encode(), Whole, name="f.json")
    return str(failed.value).splitlines()


def test_a_right_file_becomes_its_value():
    text = '{"many": [{"called": "a", "share": 0.5, "at": [1, 2]}], "size": 3, "names": {"x": {"called": "b"}}}'

    assert checked(text.encode(), Whole, name="f") == Whole(
        many=(Part(name="a", share=0.5, at=(1, 2)),), size=3, names={"x": Part(name="b")}
    )


def test_all_mistakes_are_told_at_once_each_with_its_place():
    text = """{
        "many": [{"called": 1}, {"called": "a", "share": 2, "at": [1, "x"]}, {"called": "nobody"}, {"shares": 1}, 7],
        "names": {"x": {"called": null}}, "rows": [[1], [2, "three"]]
    }"""

    assert mistakes(text) == [
        "f.json: many[0].called: Expected str, got int",
        "f.json: many[1].share: Expected float <= 1.0",
        "f.json: many[1].at[1]: Expected int, got str",
        "f.json: many[2]: a part needs a name",
        "f.json: many[3].shares: is no known key (known: called, share, at)",
        "f.json: many[3].called: is missing",
        "f.json: many[4]: Expected object, got int",
        "f.json: names.x.called: Expected str, got null",
        "f.json: rows[1][1]: Expected int, got str",
        "f.json: size: is missing",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "f.json: Expected object, got array"),
        ("{", "f.json: is not JSON: Input data was truncated"),
        ("", "f.json: is not JSON: Input data was truncated"),
        ('{"many": [], "size": 1} x', "f.json: is not JSON: JSON is malformed: trailing characters (byte 25)"),
        ('{"many": {}, "size": 1}', "f.json: many: Expected array, got object"),
        ('{"many": [{"called": "a", "at": [1]}], "size": 1}', "f.json: many[0].at: Expected array of length 2, got 1"),
        ('{"many": [], "size": NaN}', "f.json: is not JSON: JSON is malformed: invalid character (byte 21)"),
        ("[" * 100_000, "f.json: is not JSON: maximum recursion depth exceeded while deserializing an object"),
    ],
    ids=["a list", "cut off", "empty", "two", "no list", "too short", "no number", "too deep"],
)
def test_a_file_that_is_none_is_told_in_one_line(text, message):
    assert mistakes(text) == [message]


def test_the_word_that_tells_the_kind_is_no_unknown_key():
    with pytest.raises(Fatal, match=r"^f: size: Expected int, got str$"):
        checked(b'{"kind": "t", "size": "x"}', Tagged, name="f")


def test_bytes_that_are_no_text_are_told():
    with pytest.raises(Fatal, match=r"^f: is not JSON"):
        checked(b'{"many": "\xff"}', Whole, name="f")


def test_a_message_stays_short_where_everything_is_wrong():
    told = mistakes('{"many": [' + ", ".join(["1"] * 100) + '], "size": 1}')

    assert len(told) == 31
    assert told[-1] == "f.json: and 70 more mistakes"
