from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CaptureSettings
from pipeline.core.backlog import Backlog, Lost, Waiting


def picture(at, size=10, begins=None, droppable=True):
    return Waiting(picture=f"p{at}", captured_ms=at, size=size, begins=begins, droppable=droppable)


def drain(backlog, camera):
    out = []
    while (entry := backlog.take(camera)) is not None:
        out.append(entry)
    return out


def test_pictures_come_out_as_they_went_in_camera_by_camera():
    backlog = Backlog(1000)
    for at in range(3):
        backlog.put("a", picture(at))
        backlog.put("b", picture(100 + at))

    assert [e.captured_ms for e in drain(backlog, "b")] == [100, 101, 102]
    assert [e.captured_ms for e in drain(backlog, "a")] == [0, 1, 2]
    assert backlog.bytes == 0


def test_overflow_drops_the_oldest_picture_of_all_cameras():
    backlog = Backlog(30)
    backlog.put("a", picture(0))
    backlog.put("b", picture(1))
    backlog.put("b", picture(2))

    assert backlog.put("b", picture(3)) == ["a"]
    assert drain(backlog, "a") == [Lost(from_ms=0, to_ms=0, frames=1)]
    assert [e.captured_ms for e in drain(backlog, "b")] == [1, 2, 3]


def test_one_gap_grows_in_the_place_of_all_pictures_dropped_in_a_row():
    backlog = Backlog(20)
    for at in range(5):
        backlog.put("a", picture(at))

    assert drain(backlog, "a") == [Lost(from_ms=0, to_ms=2, frames=3), picture(3), picture(4)]


def test_a_dropped_picture_that_began_an_epoch_leaves_its_beginning_behind():
    backlog = Backlog(20)
    for at in range(4):
        backlog.put("a", picture(at, begins=f"epoch {at}" if at in {0, 1} else None))
    backlog.put("a", picture(4))

    assert drain(backlog, "a") == [
        Lost(from_ms=0, to_ms=0, frames=1, begins="epoch 0"),
        Lost(from_ms=1, to_ms=2, frames=2, begins="epoch 1"),
        picture(3),
        picture(4),
    ]


def test_pictures_of_a_source_that_can_wait_are_never_dropped():
    backlog = Backlog(20)
    backlog.put("film", picture(0, droppable=False))
    for at in range(1, 5):
        backlog.put("a", picture(at))

    assert drain(backlog, "film") == [picture(0, droppable=False)]
    assert drain(backlog, "a")[-1] == picture(4)


def test_a_forgotten_camera_frees_its_memory_and_tells_how_many_pictures_it_had():
    backlog = Backlog(20)
    for at in range(4):
        backlog.put("a", picture(at))

    assert backlog.clear("a") == 4
    assert backlog.bytes == 0
    assert backlog.put("b", picture(9)) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50), st.booleans(), st.booleans()), max_size=120))
def test_every_picture_is_either_waiting_taken_or_counted_in_a_gap_and_memory_is_bounded(steps):
    backlog, put, seen = Backlog(100), {c: [] for c in "abc"}, {c: [] for c in "abc"}
    for at, (camera, size, begins, take) in enumerate(steps):
        backlog.put(camera, picture(at, size, begins=at if begins else None))
        put[camera].append(at)
        assert backlog.bytes <= 100
        if take and (entry := backlog.take(camera)) is not None:
            seen[camera].append(entry)
    waiting = backlog.pictures
    for camera in "abc":
        left = drain(backlog, camera)
        waiting -= sum(isinstance(e, Waiting) for e in left)
        entries = seen[camera] + left
        frames = sum(e.frames if isinstance(e, Lost) else 1 for e in entries)
        order = [t for e in entries for t in ((e.from_ms, e.to_ms) if isinstance(e, Lost) else (e.captured_ms,))]
        begun = [e.begins for e in entries if e.begins is not None]

        assert frames == len(put[camera])
        assert order == sorted(order)
        assert begun == [at for at in put[camera] if steps[at][2]]
    assert (backlog.bytes, backlog.pictures, waiting) == (0, 0, 0)


def test_the_default_memory_holds_half_a_minute_of_four_cameras_at_fifteen_frames_a_second():
    """A picture of 640 px takes 40 to 100 kB; the larger figure is taken here."""
    backlog = Backlog(CaptureSettings().buffer_mib * 1024 * 1024)
    dropped = [backlog.put(f"c{n % 4}", picture(n, size=100_000)) for n in range(4 * 15 * 30)]

    assert not any(dropped)
