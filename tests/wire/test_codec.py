import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Clock, Detections, Header, Record, Size
from pipeline.errors import Fatal, Poison
from pipeline.stages.track import Snapshot
from pipeline.wire.codec import (
    decode_event,
    decode_flow,
    decode_header,
    decode_json,
    decode_member,
    decode_record,
    decode_state,
    decode_tracks,
    encode_event,
    encode_flow,
    encode_json,
    encode_member,
    encode_record,
    encode_tracks,
    header_text,
    iso,
)
from tests.wire.examples import CROSSING, FLOW, HEADER, MEMBER, RECORDS, SNAPSHOT, TRACKS, VALUES

ENCODED = encode_record(RECORDS["detections"])


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_travelled_is_the_record_that_was_sent(name):
    out = encode_record(RECORDS[name])

    assert decode_record(out.headers, out.value) == RECORDS[name]


@pytest.mark.parametrize("name", VALUES)
def test_a_registry_value_that_travelled_is_the_value_that_was_sent(name):
    value = VALUES[name]

    assert decode_json(encode_json(value), type(value), name) == value


def test_headers_alone_tell_who_a_record_is():
    assert decode_header(ENCODED.headers) == ("detections", HEADER)


def test_an_event_is_a_cloud_event_and_comes_back():
    out = encode_event(CROSSING)
    headers = dict(out.headers)

    assert decode_event(out.headers, out.value) == CROSSING
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == CROSSING.id.encode()
    assert headers["ce_type"] == b"gantry.crossing.v1"
    assert headers["ce_time"] == b"2026-01-01T00:00:00.123Z"
    assert out.key == b"north-1"


def test_a_window_comes_back_and_unknown_stays_unknown():
    out = encode_flow(FLOW)
    back = decode_flow(out.headers, out.value)

    assert back == FLOW
    assert back.zones[1].mean_vehicles is None


def without(name):
    return [(k, v) for k, v in ENCODED.headers if k != name]


@pytest.mark.parametrize(
    ("headers", "value", "says"),
    [
        (without("epoch"), ENCODED.value, "lacks the header 'epoch'"),
        (without("v"), ENCODED.value, "version None"),
        ([*without("v"), ("v", b"99")], ENCODED.value, "version '99'"),
        ([*ENCODED.headers, ("seq", b"8")], ENCODED.value, "there twice"),
        ([*without("seq"), ("seq", b"-x")], ENCODED.value, "wrong"),
        ([*without("clock"), ("clock", b"sundial")], ENCODED.value, "wrong"),
        ([*without("size"), ("size", b"0x0")], ENCODED.value, "wrong"),
        ([*without("camera"), ("camera", "künstlich".encode())], ENCODED.value, "not ASCII"),
        ([*without("kind"), ("kind", b"poem")], ENCODED.value, "kind 'poem'"),
        (ENCODED.headers, None, "no value"),
        (ENCODED.headers, b"{", "cannot be read"),
        (ENCODED.headers, b'{"kind":"tick","state":"live"}', "cannot be read"),
    ],
)
def test_bad_bytes_are_poison_that_says_what_is_wrong(headers, value, says):
    with pytest.raises(Poison, match=says):
        decode_record(headers, value)


READERS = {
    "record": (decode_record, ENCODED, "v"),
    "event": (decode_event, encode_event(CROSSING), "ce_type"),
    "flow": (decode_flow, encode_flow(FLOW), "v"),
    "tracks": (decode_tracks, encode_tracks(TRACKS), "v"),
    "member": (decode_member, encode_member(MEMBER), "v"),
}


@pytest.mark.parametrize("version", ["2", "0", "", "1.0", " 1", "\N{ARABIC-INDIC DIGIT ONE}", None])
@pytest.mark.parametrize("name", READERS)
def test_a_version_that_is_not_known_is_poison_whatever_the_value_looks_like(name, version):
    read, out, says = READERS[name]
    value = "gantry.crossing.v" + version if says == "ce_type" and version is not None else version
    headers = [(k, None if value is None else value.encode()) if k == says else (k, v) for k, v in out.headers]

    with pytest.raises(Poison, match=r"of version .*this reader knows 1: upgrade it first|not ASCII"):
        read(headers, out.value)


@pytest.mark.parametrize("name", READERS)
def test_a_version_that_is_not_told_or_told_twice_is_poison(name):
    read, out, says = READERS[name]

    with pytest.raises(Poison, match=r"version None|lacks the header"):
        read([header for header in out.headers if header[0] != says], out.value)
    with pytest.raises(Poison, match="twice"):
        read([*out.headers, (says, dict(out.headers)[says])], out.value)


@pytest.mark.parametrize("kind", [b"crossing", b"gantry.crossing", b".v1", b"gantry.crossing.v1.v2"])
def test_a_ce_type_without_a_known_version_at_its_end_is_poison(kind):
    out = encode_event(CROSSING)

    with pytest.raises(Poison, match="ce_type"):
        decode_event([("ce_type", kind)], out.value)


def test_a_memory_of_a_version_that_is_not_known_ends_the_process_and_one_that_is_none_is_poison():
    """A memory is worth keeping: without it vehicles would be counted twice or not at all."""
    value = msgspec.json.decode(encode_json(SNAPSHOT))

    with pytest.raises(Fatal, match="the memory is of version 2, this gantry knows 1: a newer one wrote it, upgrade"):
        decode_state(msgspec.json.encode(value | {"v": 2, "memory": "of another shape"}), Snapshot, "the memory")
    for bad in (b"", b"{", b"[]", msgspec.json.encode({k: v for k, v in value.items() if k != "v"}), b'{"v":1}', None):
        with pytest.raises(Poison, match="the memory"):
            decode_state(bad, Snapshot, "the memory")


def test_columns_of_unequal_length_are_poison():
    with pytest.raises(Poison, match="equal lengths"):
        decode_record(ENCODED.headers, ENCODED.value.replace(b'"score":[0.91,0.35]', b'"score":[0.91]'))


@given(st.binary(max_size=200))
def test_no_value_whatever_escapes_as_anything_but_poison(value):
    for name in ("detections", "opened", "scene", "gap", "closed", "tick"):
        try:
            decode_record(encode_record(RECORDS[name]).headers, value)
        except Poison:
            continue


@given(st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=12)), max_size=12))
def test_no_headers_whatever_escape_as_anything_but_poison(headers):
    with pytest.raises(Poison):
        decode_record(headers, b"{}")
    for read in (decode_event, decode_flow, decode_tracks, decode_member):
        with pytest.raises(Poison):
            read(headers, b"{}")
    assert isinstance(header_text(headers), dict)


share = st.integers(0, 100_000).map(lambda n: n / 100_000)


@given(st.lists(st.tuples(share, share, share, share, share, st.sampled_from(["car", "bus"])), max_size=20))
def test_detections_come_back_bit_for_bit(rows):
    columns = [list(c) for c in zip(*rows, strict=True)] or [[], [], [], [], [], []]
    body = Detections(**dict(zip(("x1", "y1", "x2", "y2", "score", "label"), columns, strict=True)))
    record = Record(
        Header(log="l", camera="c", shard=0, epoch=1, seq=1, captured_ms=1, clock=Clock.PTS, size=Size(1, 1)), body
    )
    out = encode_record(record)

    assert decode_record(out.headers, out.value) == record


def test_time_is_told_in_utc_to_the_millisecond():
    assert iso(1767225600007) == "2026-01-01T00:00:00.007Z"


def test_an_event_of_a_later_version_with_new_fields_is_still_read():
    """Adding a field is no new version: readers skip what they do not know."""
    out = encode_event(CROSSING)
    value = msgspec.json.decode(out.value) | {"colour": "red"}

    assert decode_event(out.headers, msgspec.json.encode(value)) == CROSSING


@pytest.mark.parametrize("name", ["opened", "scene", "tick", "gap", "closed", "detections"])
def test_a_record_of_a_later_version_with_new_fields_is_still_read(name):
    out = encode_record(RECORDS[name])
    value = msgspec.json.encode(msgspec.json.decode(out.value) | {"colour": "red"})

    assert decode_record(out.headers, value) == RECORDS[name]


@pytest.mark.parametrize("name", VALUES)
def test_a_registry_value_of_a_later_version_with_new_fields_is_still_read(name):
    value = msgspec.json.decode(encode_json(VALUES[name])) | {"colour": "red"}

    assert decode_json(msgspec.json.encode(value), type(VALUES[name]), name) == VALUES[name]
