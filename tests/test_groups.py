"""What the rest of the tests lean on: several workers keep a file's tests together."""

import os


def test_a_files_tests_stay_on_one_worker(request):
    # pytest 9.2 takes no notice of the name that pytest-xdist 3.8 gives a test of a group.
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@tests/test_groups.py")
