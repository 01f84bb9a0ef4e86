"""YAML text becomes a tree that knows its lines, or one clear message."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import reading
from pipeline.config.reading import Mapping, Mistakes, Scalar, Sequence, read_text, read_yaml


def plain(node):
    if isinstance(node, Mapping):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value


def read(text):
    root, mistakes = read_yaml(text, "f.yaml")
    assert mistakes == []
    return plain(root)


def refused(text):
    with pytest.raises(Mistakes) as caught:
        read_yaml(text, "f.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("012", "012"),
        ("12:30", "12:30"),
        ("2026-05-01", "2026-05-01"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("+7", 7),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("'7'", "7"),
        ('"true"', "true"),
        ("1280x720", "1280x720"),
        ("!!str 7", "7"),
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(written, value):
    got = read(f"a: {written}")["a"]

    assert got == value
    assert type(got) is type(value)


def test_a_key_is_the_text_that_was_written():
    assert list(read("012: a\nno: b\n1.0: c\n'quoted': d")) == ["012", "no", "1.0", "quoted"]


def test_every_node_knows_its_line():
    root, _ = read_yaml("a: 1\nb:\n  c:\n    - x\n    - y\n", "f.yaml")

    b = root.entries["b"].node
    assert (root.entries["a"].line, root.entries["b"].line, b.entries["c"].line) == (1, 2, 3)
    assert [item.line for item in b.entries["c"].node.items] == [4, 5]


def test_an_empty_file_is_an_empty_mapping():
    assert read("") == {}
    assert read("# nothing yet\n") == {}


def test_every_key_that_is_there_twice_is_named_with_both_lines():
    _, mistakes = read_yaml("a: {x: 1, x: 2}\nb:\n- {y: 1}\n- y: 1\n  y: 2\na: 3\n", "f.yaml")

    assert sorted(str(m) for m in mistakes) == [
        "f.yaml:1: a.x: is there twice, first in line 1; keep one",
        "f.yaml:5: b.1.y: is there twice, first in line 4; keep one",
        "f.yaml:6: a: is there twice, first in line 1; keep one",
    ]


def test_an_anchor_shares_settings_and_a_merge_gives_way_to_what_is_written():
    text = "a: &all {fps: 5, loop: true}\nb: {<<: *all, fps: 7}\nc: {<<: [*all, {x: 1}]}"

    assert read(text)["b"] == {"fps": 7, "loop": True}
    assert read(text)["c"] == {"fps": 5, "loop": True, "x": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "f.yaml:1: must hold keys like `cameras:`, got a list"),
        ("hello", "f.yaml:1: must hold keys like `cameras:`, got the text 'hello'"),
        ("a: [1, 2\nb: 3", "f.yaml:2: is not YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2: holds a second document (---); one file is one document"),
        ("a: *nowhere", "f.yaml:1: *nowhere names no &nowhere before it"),
        ("a: &a [*a]", "f.yaml:1: *a names no &a before it"),
        ("a: \x00", "f.yaml: is not YAML: "),
        ("a:\n\t- b", "f.yaml:2: is not YAML"),
        ("a: " + "[" * 100_000, "f.yaml:1: is nested deeper than 40 levels"),
        ("a: " + "{a: " * 100_000, "f.yaml:1: is nested deeper than 40 levels"),
    ],
    ids=["list", "text", "syntax", "documents", "alias", "recursive", "nul", "tab", "deep list", "deep mapping"],
)
def test_what_cannot_be_an_installation_is_refused_in_one_line(text, message):
    assert message in refused(text)


def test_a_bomb_of_aliases_is_refused_before_it_unfolds():
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]

    assert "unfolds to more than" in refused("\n".join(bomb))


def test_a_key_that_is_no_word_is_a_mistake():
    _, mistakes = read_yaml("? [a, b]\n: 1\n", "f.yaml")

    assert [str(m) for m in mistakes] == ["f.yaml:1: a key must be a word, not a list or mapping"]


@given(st.text(max_size=200))
def test_any_text_at_all_is_read_or_refused_by_name(text):
    try:
        root, _ = read_yaml(text, "f.yaml")
    except Mistakes as exc:
        said = str(exc)
    else:
        said = "f.yaml" if isinstance(root, Mapping) else ""
    assert said.startswith("f.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\xfe", "is not UTF-8 text"),
        (b"a: 1\n\nb: \xe9\n", ":3: is not UTF-8 text"),
        ("a: 1".encode("utf-16"), "is not UTF-8 text"),
    ],
)
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / "f.yaml").write_bytes(content)

    with pytest.raises(Mistakes, match=message):
        read_text(tmp_path / "f.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1")

    assert read(read_text(tmp_path / "f.yaml")) == {"a": 1}


def test_a_missing_file_a_folder_and_a_huge_file_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 1024)
    (tmp_path / "huge.yaml").write_text("a: 1\n" * 1000)

    said = []
    for name in ("none.yaml", ".", "huge.yaml"):
        with pytest.raises(Mistakes) as caught:
            read_text(Path(tmp_path / name))
        said.append(str(caught.value).partition(": ")[2])
    assert said == [
        "there is no such file",
        "is a folder; name the YAML file in it",
        "is larger than 0 MiB; an installation file never is",
    ]


def test_an_endless_device_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 1024)

    with pytest.raises(Mistakes, match="is larger than"):
        read_text(Path("/dev/zero"))


def test_scalars_keep_how_they_were_written():
    root, _ = read_yaml("a: 007", "f.yaml")

    assert root.entries["a"].node == Scalar(1, "007", "007")
