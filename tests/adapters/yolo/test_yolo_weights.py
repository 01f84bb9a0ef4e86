"""What is no model is refused in one line, and a hostile file runs nothing."""

import logging
import pickle
import shutil
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import msgspec
import openvino as ov
import pytest

from pipeline.adapters.yolo import export, folder, load_model
from pipeline.adapters.yolo.checkpoint import check
from pipeline.errors import Fatal
from tests.fakes.weights import picture, tiny_weights


class Runs:
    """Unpickling this calls a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def archive(path: Path, pickled: bytes, **more: bytes) -> Path:
    """A zip as torch.save lays it out."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(f"{path.stem}/data.pkl", pickled)
        made.writestr(f"{path.stem}/version", b"3\n")
        for name, content in more.items():
            made.writestr(f"{path.stem}/{name}", content)
    return path


def calls(module: str, name: str, *arguments: str) -> bytes:
    """A pickle, protocol 2 by hand, that names a detection model and calls one function."""
    pushed = b"".join(b"X" + len(text.encode()).to_bytes(4, "little") + text.encode() for text in arguments)
    return (
        b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n0" + f"c{module}\n{name}\n".encode() + b"(" + pushed + b"tR."
    )


def one_line(caught) -> str:
    said = str(caught.value)
    assert "\n" not in said
    return said


NO_WEIGHTS = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "a text": (lambda path: path.write_text("no model"), "does not begin like one"),
    "a picture": (lambda path: path.write_bytes(picture(1)), "does not begin like one"),
    "an old bare pickle": (lambda path: path.write_bytes(pickle.dumps({"model": 1})), "does not begin like one"),
    "another zip": (lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "a"), "not one that torch saved"),
    "TorchScript": (lambda path: archive(path, b"\x80\x02N.", **{"constants.pkl": b""}), "TorchScript"),
    "tensors only": (lambda path: archive(path, b"\x80\x02ctorch\nfloat32\n."), "no model, only data"),
    "a model that segments": (
        lambda path: archive(path, b"\x80\x02cultralytics.nn.tasks\nSegmentationModel\n."),
        "holds a SegmentationModel",
    ),
    "a pickle that stops": (lambda path: archive(path, b"\x80\x02cultralytics.nn"), "damaged pickle"),
}


@pytest.mark.parametrize(("write", "said"), NO_WEIGHTS.values(), ids=NO_WEIGHTS.keys())
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_file_that_is_no_weights_is_refused_with_what_it_is(tmp_path, write, said, backend):
    path = tmp_path / "wrong.pt"
    write(path)

    with pytest.raises(Fatal, match=said) as caught:
        load_model(path, backend=backend)

    assert str(path) in one_line(caught)


def test_a_file_of_another_name_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"onnx")

    with pytest.raises(Fatal, match=r"is not called \*\.pt"):
        load_model(tmp_path / "model.onnx")


def test_no_file_at_all_is_refused_with_what_to_give():
    with pytest.raises(Fatal, match=r"there is no model at .*gantry models export"):
        load_model(Path("nowhere/yolov8n.pt"))


HOSTILE = {
    "a shell": ("os", "system"),
    "a shell by its other name": ("posix", "system"),
    "eval": ("builtins", "eval"),
    "open in the old words": ("__builtin__", "open"),
    "a process": ("subprocess", "check_output"),
}


@pytest.mark.parametrize(("module", "name"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_pickle_that_would_run_something_is_refused_before_anything_reads_it(tmp_path, module, name):
    path = archive(tmp_path / "hostile.pt", calls(module, name, "x"))

    with pytest.raises(Fatal, match=f"loading it would run {module}.{name}"):
        check(path)


def test_a_pickle_that_hides_its_names_is_refused(tmp_path):
    path = archive(tmp_path / "hostile.pt", pickle.dumps(Runs(print, "executed"), protocol=4))

    with pytest.raises(Fatal, match="not of the kind torch saves"):
        check(path)


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_function_of_a_trusted_library_is_not_run_either(tmp_path, tiny, backend):
    """The second door: torch's restricted unpickler. `tiny` only makes sure that the extra is there."""
    proof = tmp_path / "executed"
    pickled = calls("numpy", "savetxt", str(proof), "x")
    path = archive(tmp_path / "hostile.pt", pickled, byteorder=b"little")
    check(path)  # the first door lets it pass

    with pytest.raises(Fatal) as caught:
        load_model(path, backend=backend)

    one_line(caught)
    assert not proof.exists()
    with suppress(Exception):
        pickle.loads(pickled)
    assert proof.exists()  # whoever unpickles it freely does run it


@pytest.mark.torch
@pytest.mark.parametrize("kept", [0.99, 0.5, 0.01])
def test_weights_that_are_cut_off_are_refused(tiny, tmp_path, kept):
    whole = tiny.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(Fatal, match="cut off or damaged"):
        load_model(path)


@pytest.mark.torch
def test_weights_with_a_changed_byte_are_refused(tiny, tmp_path):
    changed = bytearray(tiny.read_bytes())
    changed[len(changed) // 2] ^= 1
    path = tmp_path / "changed.pt"
    path.write_bytes(changed)

    with pytest.raises(Fatal, match="damaged"):
        load_model(path)


@pytest.mark.torch
def test_a_model_that_knows_no_road_users_is_refused_with_what_it_knows(tmp_path, tiny):
    weights = tiny_weights(tmp_path / "fruit.pt", labels=("apple", "pear"))

    with pytest.raises(Fatal, match=r"knows no road users .*it knows apple, pear"):
        load_model(weights, backend="torch", device="cpu")


# --- the folder -----------------------------------------------------------------------------------


@pytest.fixture
def copy(tiny_folder, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def relabel(path: Path, **changes) -> None:
    card = folder.read_card(path)
    files = {name: folder.sha256(path / name) for name in card.files if (path / name).is_file()}
    folder.write_card(path, msgspec.structs.replace(card, files=files, **changes))


def ultralytics_own(path: Path) -> None:
    (path / folder.CARD).unlink()


def spoil_network(path: Path) -> None:
    (path / "tiny.xml").write_text("<net>")
    relabel(path)


def shorten_numbers(path: Path) -> None:
    numbers = path / "tiny.bin"
    numbers.write_bytes(numbers.read_bytes()[:1000])
    relabel(path)


def change_numbers(path: Path) -> None:
    numbers = bytearray((path / "tiny.bin").read_bytes())
    numbers[100] ^= 1
    (path / "tiny.bin").write_bytes(numbers)


def fix_shape(path: Path) -> None:
    network = ov.Core().read_model(path / "tiny.xml")
    network.reshape([1, 3, 640, 640])
    ov.save_model(network, path / "fixed.xml", compress_to_fp16=False)
    del network
    (path / "fixed.xml").replace(path / "tiny.xml")
    (path / "fixed.bin").replace(path / "tiny.bin")
    relabel(path)


def forget_a_class(path: Path) -> None:
    card = folder.read_card(path)
    relabel(path, model=msgspec.structs.replace(card.model, labels={0: "car"}))


def segments(path: Path) -> None:
    ultralytics_own(path)
    told = (path / "metadata.yaml").read_text()
    (path / "metadata.yaml").write_text(told.replace("task: detect", "task: segment"))


def says_nothing(path: Path) -> None:
    ultralytics_own(path)
    (path / "metadata.yaml").write_text("- 1")


WRONG_FOLDERS = {
    "empty": (lambda path: [file.unlink() for file in path.iterdir()], "holds 0 .xml files"),
    "two networks": (lambda path: (path / "other.xml").write_text(""), "holds 2 .xml files"),
    "no numbers": (lambda path: (path / "tiny.bin").unlink(), "lacks tiny.bin"),
    "no card": (lambda path: [(path / name).unlink() for name in (folder.CARD, "metadata.yaml")], "knows its classes"),
    "a card that is none": (lambda path: (path / folder.CARD).write_text("{"), "cannot read .*gantry.json"),
    "changed numbers": (change_numbers, "is not the file that was exported"),
    "a network that is none": (spoil_network, "OpenVINO cannot run"),
    "numbers cut off": (shorten_numbers, "OpenVINO cannot run"),
    "one shape only": (fix_shape, "pictures of one shape only"),
    "wrong number of classes": (forget_a_class, "not that of a YOLO detection model with 1 classes"),
    "another task": (segments, "for the task 'segment'"),
    "metadata that say nothing": (says_nothing, "cannot make sense of"),
}


@pytest.mark.torch
@pytest.mark.parametrize(("spoil", "said"), WRONG_FOLDERS.values(), ids=WRONG_FOLDERS.keys())
def test_a_wrong_folder_is_refused_with_what_is_wrong(copy, spoil, said):
    spoil(copy)

    with pytest.raises(Fatal, match=said) as caught:
        load_model(copy)

    assert "copy" in one_line(caught) or "tiny@" in str(caught.value)


@pytest.mark.torch
async def test_a_folder_that_ultralytics_made_works_too(copy):
    ours = load_model(copy, precision="f32")
    seen = await ours.detect([picture(1)])
    ours.close()
    ultralytics_own(copy)

    theirs = load_model(copy, precision="f32")
    again = await theirs.detect([picture(1)])
    theirs.close()

    assert theirs.name == f"tiny@{folder.sha256(copy / 'tiny.bin')[:12]}"
    assert (again[0].x1, again[0].score) == (seen[0].x1, seen[0].score)


# --- the export -----------------------------------------------------------------------------------


@pytest.mark.torch
def test_an_export_tells_where_it_comes_from(tiny, tiny_folder):
    card = folder.read_card(tiny_folder)

    assert card.model.digest == folder.sha256(tiny)
    assert (card.weights, card.weights_bytes, card.precision) == ("tiny.pt", tiny.stat().st_size, "fp32")
    assert set(card.made_with) == {"torch", "openvino", "ultralytics"}
    assert (
        set(card.files)
        == {"metadata.yaml", "tiny.bin", "tiny.xml"}
        == {f.name for f in tiny_folder.iterdir()} - {folder.CARD}
    )


@pytest.fixture(scope="module")
def half(tiny, tiny_folder, tmp_path_factory) -> Path:
    """The same network in half the numbers, exported to where an older export lay."""
    out = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("half") / "model"))
    (out / "left over").write_text("")
    return export(tiny, out, precision="fp16")


@pytest.mark.torch
async def test_half_the_numbers_see_nearly_the_same(tiny_folder, half):
    answers = []
    for path in (tiny_folder, half):
        model = load_model(path, precision="f32", score=0.3)
        answers.append((await model.detect([picture(1)]))[0])
        model.close()

    assert folder.read_card(half).precision == "fp16"
    assert (half / "tiny.bin").stat().st_size < 0.6 * (tiny_folder / "tiny.bin").stat().st_size
    assert answers[0].score[:10] == pytest.approx(answers[1].score[:10], abs=0.05)


@pytest.mark.torch
def test_an_export_replaces_an_older_one_and_leaves_nothing_else_behind(half):
    assert [file.name for file in half.parent.iterdir()] == ["model"]
    assert not (half / "left over").exists()


@pytest.mark.torch
def test_an_export_leaves_a_folder_alone_that_is_none_of_ours(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")

    with pytest.raises(Fatal, match="is no export of ours"):
        export(tiny, tmp_path / "mine")

    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.torch
def test_an_export_that_fails_leaves_nothing_behind_and_says_why_in_one_line(tiny, tmp_path):
    path = archive(tmp_path / "hollow.pt", b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n.")

    with pytest.raises(Fatal, match=r"Ultralytics cannot export hollow\.pt: ") as caught:
        export(path, tmp_path / "out" / "hollow")

    one_line(caught)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.torch
def test_weights_for_openvino_are_exported_once_and_found_there_later(tiny, models_home, caplog):
    caplog.set_level(logging.INFO, "gantry.models")
    first = load_model(tiny, backend="openvino")
    first.close()
    second = load_model(tiny, backend="auto", device="CPU")
    second.close()

    assert [path.name for path in models_home.iterdir()] == [f"tiny-{folder.sha256(tiny)[:12]}"]
    assert len([record for record in caplog.records if "exporting" in record.message]) == 1
    assert first.name == second.name


@pytest.mark.torch
def test_a_model_is_found_by_its_name_in_the_models_folder(tiny_folder, models_home):
    shutil.copytree(tiny_folder, models_home / "lights")

    model = load_model(Path("lights"))
    model.close()

    assert model.name.startswith("tiny@")


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_without_the_extra_weights_are_answered_by_what_to_install(tiny, monkeypatch, backend):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(Fatal, match=r"make setup EXTRAS=dev,torch"):
        load_model(tiny, backend=backend)


def test_an_export_does_not_tell_where_the_training_data_lay(tiny_folder):
    description = (tiny_folder / "metadata.yaml").read_text().splitlines()[0]

    assert description.startswith("description:")
    assert "trained on" not in description
