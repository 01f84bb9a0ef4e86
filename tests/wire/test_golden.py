"""The bytes of every record and of a memory, kept from the first version on.

`GANTRY_WRITE_GOLDEN=1 pytest tests/wire/test_golden.py` writes what is missing; it never overwrites.
"""

import base64
import json
import os
from pathlib import Path

import msgspec
import pytest

from pipeline.core.scene import Memory
from pipeline.stages.track import Snapshot
from pipeline.wire.codec import (
    VERSION,
    decode_event,
    decode_flow,
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
)
from tests.core.road import Log, Vehicle, run
from tests.wire.examples import EVENTS, FLOWS, MEMBER, RECORDS, SNAPSHOT, TRACKS, VALUES

GOLDEN = Path(__file__).parent / "golden"


def memory():
    log = Log()
    log.open()
    log.drive([Vehicle(x=0.5, y=0.3, vy=0.1), Vehicle(x=0.3, y=0.45, vy=0.1)], range(0, 1500, 100))
    return run(log.records)[2]


def everything():
    out = {f"record-{name}": encode_record(record) for name, record in RECORDS.items()}
    out |= {f"event-{name}": encode_event(event) for name, event in EVENTS.items()}
    out |= {name: encode_flow(flow) for name, flow in FLOWS.items()} | {"tracks": encode_tracks(TRACKS)}
    out["member"] = encode_member(MEMBER)
    plain = {f"value-{name}": encode_json(value) for name, value in VALUES.items()}
    plain |= {"memory": encode_json(memory()), "snapshot": encode_json(SNAPSHOT)}
    texts = {
        name: {
            "key": e.key.decode(),
            "headers": [[k, v.decode()] for k, v in e.headers],
            "value": base64.b64encode(e.value).decode() if name == "record-frame" else e.value.decode(),
        }
        for name, e in out.items()
    }
    return texts | {name: {"value": value.decode()} for name, value in plain.items()}


def write_missing():
    """Keep what this version writes and nothing is kept of yet."""
    folder = GOLDEN / f"v{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, now in NOW.items():
        path = folder / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(now, indent=1) + "\n")


NOW = everything()
if os.environ.get("GANTRY_WRITE_GOLDEN"):
    write_missing()  # here, so that the tests below know of them
READ = [version for version in (VERSION - 1, VERSION) if version > 0]
FILES = [(version, path.stem) for version in READ for path in sorted((GOLDEN / f"v{version}").glob("*.json"))]


def stored(version, name):
    return json.loads((GOLDEN / f"v{version}" / f"{name}.json").read_text())


def golden(version, name):
    """Headers and value as they lay on the log."""
    kept = stored(version, name)
    value = base64.b64decode(kept["value"]) if name == "record-frame" else kept["value"].encode()
    return [(k, v.encode()) for k, v in kept.get("headers", [])], value


def record(name, headers, value):
    assert decode_record(headers, value) == RECORDS[name.removeprefix("record-")]


def event(name, headers, value):
    assert decode_event(headers, value) == EVENTS[name.removeprefix("event-")]


def flow(name, headers, value):
    assert decode_flow(headers, value) == FLOWS[name]


def tracks(name, headers, value):
    assert decode_tracks(headers, value) == TRACKS


def member(name, headers, value):
    assert decode_member(headers, value) == MEMBER


def plain(name, headers, value):
    example = VALUES[name.removeprefix("value-")]
    assert decode_json(value, type(example), name) == example


def snapshot(name, headers, value):
    assert decode_state(value, Snapshot, name) == SNAPSHOT


def remembered(name, headers, value):
    """Only what the memory says is golden: floats of a Kalman filter may differ in their last bit between machines."""
    old, fresh = msgspec.json.decode(value, type=Memory), memory()

    assert old.includes == fresh.includes
    assert [t.id for t in old.tracks] == [t.id for t in fresh.tracks]
    assert [t.mean for t in old.tracks] == [pytest.approx(t.mean, abs=1e-9) for t in fresh.tracks]
    assert old.windows == fresh.windows
    assert msgspec.structs.replace(old, tracks=[], trails={}) == msgspec.structs.replace(fresh, tracks=[], trails={})


READERS = {
    "record": record,
    "event": event,
    "flow": flow,
    "tracks": tracks,
    "member": member,
    "value": plain,
    "snapshot": snapshot,
    "memory": remembered,
}
"""What reads a file of the golden folder, by the first word of its name."""


@pytest.mark.parametrize("name", [n for n in NOW if n != "memory"])
def test_this_version_writes_the_bytes_it_always_wrote(name):
    assert NOW[name] == stored(VERSION, name)


def test_all_that_is_kept_of_this_version_is_still_written_and_all_that_is_written_is_kept():
    assert {name for version, name in FILES if version == VERSION} == set(NOW)


@pytest.mark.parametrize(("version", "name"), FILES)
def test_this_version_reads_what_this_and_the_last_version_wrote(version, name):
    """A file that no reader knows fails: a promise that nobody tests is none."""
    READERS[name.partition("-")[0]](name, *golden(version, name))


@pytest.mark.parametrize("version", READ)
def test_of_every_version_that_is_read_bytes_are_kept(version):
    assert [name for of, name in FILES if of == version]
