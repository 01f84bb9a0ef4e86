"""What is compiled says the same as in Python, once for each choice of types, with a cache or without."""

import dis
import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.core import kernels
from pipeline.core.compiled import Compiled, compiled
from pipeline.core.warm_up import warm_up

EVERY = {name: thing for name, thing in vars(kernels).items() if isinstance(thing, Compiled)}


def test_where_no_cache_can_be_written_a_function_is_compiled_all_the_same():
    names = {}
    exec("def twice(x): return 2 * x", names)  # numba finds no folder for what no file holds

    assert compiled(names["twice"])(2.5) == 5.0


def test_where_the_place_for_the_cache_is_full_the_tracker_is_compiled_all_the_same(tmp_path):
    full = """
import errno
from numba.core import caching
def no_room(*_):
    raise OSError(errno.ENOSPC, "no space left on device")
caching.IndexDataCacheFile.save = no_room
from pipeline.core.warm_up import warm_up
warm_up()
print("warm")
"""
    here = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    said = subprocess.run([sys.executable, "-c", full], env=here, capture_output=True, check=True)

    assert said.stdout.strip() == b"warm"


def test_a_damaged_cache_stops_nobody(tmp_path):
    asked = "from pipeline.core.warm_up import warm_up; warm_up(); print('warm')"
    here = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run():
        return subprocess.run([sys.executable, "-c", asked], env=here, capture_output=True, check=True).stdout.strip()

    assert run() == b"warm"
    kept = [path for path in tmp_path.rglob("*.nb*") if path.is_file()]
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])

    assert kept
    assert run() == b"warm"


@pytest.mark.parametrize("name", EVERY)
def test_what_is_compiled_knows_nothing_of_other_files_for_a_cache_would_not_notice_when_they_change(name):
    code = EVERY[name].py_func.__code__
    used = {each.argval for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}

    ours = {k: v for k, v in vars(kernels).items() if k in used}
    foreign = {k for k, v in ours.items() if getattr(v, "__module__", kernels.__name__) != kernels.__name__}
    assert foreign == set()
    assert all(isinstance(v, Compiled | int | float | tuple) or k in {"math", "np"} for k, v in ours.items())


def test_a_warm_tracker_compiles_nothing_more():
    warm_up()
    before = {name: len(each.dispatcher.overloads) for name, each in EVERY.items()}
    assert set(before.values()) <= {0, 1}, "0: only called by what came from the cache"

    warm_up()

    assert {name: len(each.dispatcher.overloads) for name, each in EVERY.items()} == before


def test_only_who_must_compile_is_told_that_it_takes_long(tmp_path):
    asked = "from pipeline.core.warm_up import warm_up; warm_up(lambda: print('cold'))"
    here = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    said = [subprocess.run([sys.executable, "-c", asked], env=here, capture_output=True, check=True) for _ in range(2)]

    assert [each.stdout.strip() for each in said] == [b"cold", b""]


def test_a_place_that_is_no_number_points_to_a_cell_all_the_same():
    cells = np.arange(6).reshape(2, 3)

    assert kernels._row(cells, np.nan, np.nan) == 0
    assert [kernels._row(cells, x, y) for x, y in ((-9.0, -9.0), (9.0, 9.0), (np.inf, 0.0))] == [0, 5, 2]


def test_a_table_has_no_room_for_a_fifth_mode_of_a_cell_nor_for_a_cell_beyond_the_picture():
    def table():
        return np.zeros((2, 3), np.intp), np.zeros((3, 4, 9)), np.zeros((4, 4, 9))

    for cell in ([0] * 5, [6]):
        with pytest.raises(IndexError):
            kernels.dense(np.array(cell), np.ones((len(cell), 3)), *table())
