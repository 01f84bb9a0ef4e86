"""Run by `export.py` in a process of its own: `python -P export_child.py WEIGHTS.pt`.

Writes WEIGHTS_openvino_model beside the weights. On failure the last line on stderr says why.
"""

import sys
import warnings


def main() -> int:
    """Export; the exit code."""
    warnings.simplefilter("ignore")
    try:
        from ultralytics import YOLO  # noqa: PLC0415 - so that a broken installation is one line, too

        YOLO(sys.argv[1], task="detect").export(format="openvino", dynamic=True, imgsz=640, device="cpu")
    except Exception as exc:  # noqa: BLE001 - whatever it is, the parent gets one line
        print(f"{type(exc).__name__}: {' '.join(str(exc).split())}", file=sys.stderr)  # noqa: T201 - for the parent
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
