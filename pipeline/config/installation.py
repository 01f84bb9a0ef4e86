"""The installation file, whole: read, checked, overridden by the environment, and turned into the core's nouns."""

import os
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from pathlib import Path as FilePath

import msgspec

from pipeline.config.checks import Checker, Path, dotted, line_of, told
from pipeline.config.entries import CameraEntry, InstallationFile, SceneEntry
from pipeline.config.environment import override
from pipeline.config.reading import (
    Mapping,
    Mistake,
    Mistakes,
    Node,
    Scalar,
    Sequence,
    did_you_mean,
    read_text,
    read_yaml,
)
from pipeline.config.settings import KafkaSettings, Settings
from pipeline.core.model import CameraId, GroupId, Scene
from pipeline.core.registry import WantedCamera, WantedGroup


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What one file and the environment say."""

    settings: Settings
    cameras: list[WantedCamera] = []
    groups: list[WantedGroup] = []
    scenes: dict[CameraId, Scene] = {}
    named: list[tuple[CameraId, Mistake]] = []  # cameras that groups and scenes name: the mistake if there is none

    def strangers(self, registered: Iterable[CameraId]) -> list[Mistake]:
        """Groups and scenes that name a camera which is neither in the file nor registered."""
        known = {camera.id for camera in self.cameras} | set(registered)
        return [mistake for camera, mistake in self.named if camera not in known]


def load(path: FilePath | None, environ: MappingType[str, str] | None = None) -> Installation:
    """Read and check an installation file and the environment (None: this process's own).

    Without a file the defaults and the environment are the whole. Relative paths of videos are taken from the
    file's own folder. Whether the cameras that groups and scenes name exist only the registry can tell:
    `Installation.strangers`.

    Raises:
        Mistakes: all of them, each with its place.
    """
    environ = os.environ if environ is None else environ
    name = str(path) if path is not None else "settings"
    root, mistakes = read_yaml(read_text(path), name) if path is not None else (Mapping(0, {}), [])
    if is_one_scene(root):
        what = "holds a single scene, but an installation is wanted: put it under `scenes:` and its camera's id, or register it with `gantry scenes apply FILE --camera ID`"
        raise Mistakes([Mistake(name, root.line, "", what)])
    checker = Checker(name)
    file = checker.parts(root, InstallationFile)
    written = {key: file[key] for key in Settings.__struct_fields__ if key in file}
    settings, wrong = override(Settings(**written), environ)
    named = _named(root, name)
    mistakes += [*checker.mistakes, *wrong, *_kafka_mistakes(settings.kafka, root, name)]
    if mistakes:
        cameras = {str(key) for key, _node in _under(root, "cameras")}
        # A file that is wrong elsewhere and lists its cameras: say at once what is most likely wrong here too.
        raise Mistakes([*mistakes, *(mistake for camera, mistake in named if cameras and camera not in cameras)])
    folder = path.parent if path is not None else FilePath()
    return Installation(
        settings=settings,
        cameras=[_camera(id_, entry, folder) for id_, entry in file.get("cameras", {}).items()],
        groups=[
            WantedGroup(id=GroupId(id_), name=e.name, kind=e.kind, members=[CameraId(m) for m in e.members])
            for id_, e in file.get("groups", {}).items()
        ],
        scenes={CameraId(id_): entry.scene() for id_, entry in file.get("scenes", {}).items()},
        named=named,
    )


def load_scene(path: FilePath, camera: str | None = None) -> Scene:
    """Read one scene: a file of its own (`drawn_on:` at the top), or one of an installation file.

    Args:
        path: the YAML file.
        camera: whose scene; may be left out where the file holds a single one.

    Raises:
        Mistakes: all of them, each with its place.
    """
    name = str(path)
    root, mistakes = read_yaml(read_text(path), name)
    if is_one_scene(root):
        checker = Checker(name)
        entry = checker.value(root, SceneEntry)
        if mistakes := mistakes + checker.mistakes:
            raise Mistakes(mistakes)
        scene: Scene = entry.scene()
        return scene
    scenes = load(path, {}).scenes
    if camera is not None and camera not in scenes:
        raise Mistakes([Mistake(name, 0, "scenes", f"hold none for camera {camera}{did_you_mean(camera, scenes)}")])
    if camera is None and len(scenes) != 1:
        what = f"holds {len(scenes)} scenes ({', '.join(scenes)}): say whose" if scenes else "holds no scene"
        raise Mistakes([Mistake(name, 0, "", what)])
    return scenes[CameraId(camera)] if camera is not None else next(iter(scenes.values()))


def is_one_scene(root: Mapping) -> bool:
    """Whether a file is a single scene and no installation."""
    keys = root.entries.keys()
    return bool({"drawn_on", "lines", "zones"} & keys) and not (set(InstallationFile.__struct_fields__) & keys)


def _camera(id_: str, entry: CameraEntry, folder: FilePath) -> WantedCamera:
    source = entry.source
    if "://" not in source and not source.startswith("${"):
        source = str((folder / source).absolute())
    position = entry.position
    return WantedCamera(
        id=CameraId(id_),
        source=source,
        fps=entry.fps,
        width=entry.width,
        loop=entry.loop,
        pace=entry.pace,
        transport=entry.transport,
        start=entry.start,
        time_zone=entry.time_zone,
        latitude=position.latitude if position else None,
        longitude=position.longitude if position else None,
    )


def _named(root: Mapping, name: str) -> list[tuple[CameraId, Mistake]]:
    """Every camera that a group or a scene names, with what to say if there is none."""
    cameras = [str(key) for key, _node in _under(root, "cameras")]

    def stranger(camera: str, path: Path, text: str) -> tuple[CameraId, Mistake]:
        near = did_you_mean(camera, cameras)
        text += near if "did you mean" in near else ""
        return CameraId(camera), Mistake(name, line_of(root, path), dotted(path), text)

    named = []
    for group, node in _under(root, "groups"):
        members = node.entries.get("members") if isinstance(node, Mapping) else None
        if members is None or not isinstance(members.node, Sequence):
            continue
        for index, member in enumerate(members.node.items):
            if isinstance(member, Scalar):
                path: Path = ("groups", group, "members", index)
                named.append(stranger(member.text, path, f"there is no camera {told(Scalar(0, member.text, ''))}"))
    for camera, _node in _under(root, "scenes"):
        named.append(stranger(camera, ("scenes", camera), f"is a scene of no camera: there is no camera {camera!r}"))
    return named


def _under(root: Mapping, section: str) -> list[tuple[str, Node]]:
    entry = root.entries.get(section)
    if entry is None or not isinstance(entry.node, Mapping):
        return []
    return [(key, inner.node) for key, inner in entry.node.entries.items()]


def _kafka_mistakes(kafka: KafkaSettings, root: Mapping, name: str) -> list[Mistake]:
    """What only several of Kafka's settings together can tell."""
    check = Checker(name)

    def say(key: str, text: str) -> None:
        check.say(line_of(root, ("kafka", key)), ("kafka", key), text)

    if kafka.security.startswith("sasl"):
        for key in ("sasl_mechanism", "username", "password"):
            if getattr(kafka, key) is None:
                say(key, f"is missing; security {kafka.security} needs it")
    elif kafka.username is not None or kafka.password is not None:
        say("security", f"is {kafka.security}, which sends no user name or password; write sasl_ssl")
    if (kafka.cert_file is None) != (kafka.key_file is None):
        say("key_file" if kafka.key_file is None else "cert_file", "is missing; a certificate and its key go together")
    return check.mistakes


__all__ = ["Installation", "is_one_scene", "load", "load_scene"]
