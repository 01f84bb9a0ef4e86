import numpy as np
import pytest

from pipeline.simulate.pixels.meshes import MESHES, Paint, shape_of

SLACK = 0.011  # what lies on a face stands a little before it


@pytest.mark.parametrize("name", [name for name in MESHES if not name.startswith("walker")])
def test_a_shape_fills_the_cuboid_that_the_truth_measures(name):
    corners = MESHES[name].corners.reshape(-1, 3)
    low, high = corners.min(axis=0), corners.max(axis=0)

    assert np.all(low >= (-0.5 - SLACK, -0.5 - SLACK, 0.0))
    assert np.all(high <= (0.5 + SLACK, 0.5 + SLACK, 1.0 + 1e-9))
    assert np.all(high - low >= (0.95, 0.95, 0.97))


@pytest.mark.parametrize("name", MESHES)
def test_every_face_looks_away_from_the_middle_of_its_part(name):
    """So that what is behind is not painted over what is before."""
    mesh = MESHES[name]
    for part in range(len(mesh.part_at)):
        mine = (mesh.part == part) & ~mesh.both
        if not mine.any():
            continue
        faces = mesh.corners[mine]
        normal = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
        assert np.all(np.linalg.norm(normal, axis=1) > 0), "a face without an area"
        flank = np.abs(normal[:, 1]) > 0.95 * np.linalg.norm(normal, axis=1)
        if name.startswith(("walker", "motorcycle", "bicycle")):
            continue  # their parts are of several bodies
        assert np.all((normal[flank, 1] > 0) == (faces[flank][:, :, 1].mean(axis=1) > 0))


@pytest.mark.parametrize("name", ["hatchback", "saloon", "bus-city", "lorry-trailer", "van"])
def test_headlamps_are_in_front_and_tail_lamps_behind(name):
    mesh = MESHES[name]

    assert np.all(mesh.headlamps[:, 0] > 0.4)
    assert np.all(mesh.taillamps[:, 0] < -0.4)
    assert len(mesh.headlamps) == len(mesh.taillamps) == 2


def test_windows_are_of_glass():
    for name in ("hatchback", "suv", "bus-coach", "lorry-rigid"):
        assert (MESHES[name].paint == Paint.GLASS).sum() >= 3


@pytest.mark.parametrize(
    ("label", "size", "shape"),
    [
        ("car", (3.9, 1.7, 1.48), "hatchback"),
        ("car", (4.6, 1.88, 1.70), "suv"),
        ("car", (5.0, 1.95, 1.95), "van"),
        ("truck", (8.6, 2.5, 3.5), "lorry-rigid"),
        ("truck", (16.5, 2.55, 3.95), "lorry-trailer"),
        ("bus", (12.0, 2.55, 3.10), "bus-city"),
        ("bus", (13.0, 2.55, 3.60), "bus-coach"),
        ("bicycle", (1.75, 0.6, 1.7), "bicycle"),
        ("motorcycle", (2.2, 0.8, 1.65), "motorcycle"),
    ],
)
def test_the_shape_follows_from_class_and_size(label, size, shape):
    assert shape_of(label, size, 0) == shape


def test_a_walker_walks():
    assert len({shape_of("person", (0.3, 0.5, 1.8), 0, walked) for walked in np.arange(0, 2, 0.1)}) == 4
