"""Is a file Ultralytics weights? Told without executing any of it.

A `.pt` file is a zip archive with a pickle inside, and unpickling runs whatever the pickle names. So before any
library opens the file we read the archive's directory and the pickle's opcodes (never its meaning), and refuse
names from outside the libraries a model is made of. Ultralytics then loads it through torch's restricted unpickler
(`weights_only`, with its own list of known classes), which is the second door.

Limit: both doors trust the code of torch and Ultralytics themselves. Take weights only from people you trust.
"""

import pickletools
import zipfile
import zlib
from pathlib import Path

from pipeline.errors import Fatal

_TRUSTED = frozenset({"torch", "torchvision", "ultralytics", "numpy", "collections", "pathlib", "_codecs"})
_BUILTINS = frozenset(
    {
        "set",
        "frozenset",
        "dict",
        "list",
        "tuple",
        "int",
        "float",
        "bool",
        "str",
        "bytes",
        "bytearray",
        "complex",
        "slice",
    }
    | {"object", "range", "getattr"}  # getattr: old checkpoints keep `Detect.forward`; the second door guards it
)
_DETECTORS = frozenset({"DetectionModel", "YOLOv10DetectionModel"})
_WHY = "gantry needs the weights of a detection model as Ultralytics saves them, such as yolov8n.pt"


def check(path: Path) -> None:
    """Refuse a file that is not the whole weights of an Ultralytics detection model.

    Raises:
        Fatal: saying what the file is instead.
    """
    if path.suffix != ".pt":
        raise Fatal(f"{path} is not called *.pt; {_WHY}")
    try:
        pickled = _pickled(path)
    except OSError as exc:
        raise Fatal(f"cannot read {path}: {exc.strerror or exc}") from exc
    names = _names_in(path, pickled)
    for module, name in sorted(names):
        plain = module in {"builtins", "__builtin__"} and name in _BUILTINS
        if not plain and module.partition(".")[0] not in _TRUSTED:
            raise Fatal(f"{path} is refused: loading it would run {module}.{name}, which no model needs; {_WHY}")
    kinds = {name for module, name in names if module.startswith("ultralytics.") and name.endswith("Model")}
    if not kinds & _DETECTORS:
        found = f"a {', '.join(sorted(kinds))}" if kinds else "no model, only data"
        raise Fatal(f"{path} holds {found}; {_WHY}")


def _pickled(path: Path) -> bytes:
    """The archive's pickle, after the whole archive was seen to be undamaged."""
    with path.open("rb") as file:
        start = file.read(4)
        if not start:
            raise Fatal(f"{path} is empty; {_WHY}")
        if start != b"PK\x03\x04":
            raise Fatal(f"{path} is no weights file (it does not begin like one); {_WHY}")
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if any(name.endswith("/constants.pkl") for name in names):
                    raise Fatal(f"{path} is a TorchScript archive; {_WHY}")
                pickles = [name for name in names if name.endswith("/data.pkl")]
                if len(pickles) != 1 or any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                    raise Fatal(f"{path} is a zip archive, but not one that torch saved; {_WHY}")
                if (damaged := archive.testzip()) is not None:
                    raise Fatal(f"{path} is damaged at {damaged}; fetch it again")
                return archive.read(pickles[0])
        except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as exc:
            raise Fatal(f"{path} is cut off or damaged ({exc}); fetch it again") from exc


def _names_in(path: Path, pickled: bytes) -> set[tuple[str, str]]:
    """Every class or function the pickle names, as (module, name)."""
    names: set[tuple[str, str]] = set()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                names.add((module, name))
            elif opcode.name in {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
                # torch.save writes protocol 2, which names things by GLOBAL alone; other ways are how one hides
                raise Fatal(f"{path} is refused: its pickle is not of the kind torch saves ({opcode.name}); {_WHY}")
    except (ValueError, IndexError, UnicodeError) as exc:
        raise Fatal(f"{path} holds a damaged pickle ({exc}); fetch it again") from exc
    return names
