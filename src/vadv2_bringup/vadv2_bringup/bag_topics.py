"""Which topic of a bag is which input: our own names, names that tell themselves, or the user's ``--map``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_core.errors import InputError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE, ODOMETRY_TYPE = "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"
COMMAND_TYPE, ROUTE_TYPE = "vadv2_msgs/msg/DrivingCommand", "vadv2_msgs/msg/Route"
TF_TYPE = "tf2_msgs/msg/TFMessage"
ODOMETRY, COMMAND, ROUTE, TF_STATIC = "/odometry", "/driving_command", "/route", "/tf_static"
_SINGLE = {"odometry": ODOMETRY_TYPE, "command": COMMAND_TYPE, "route": ROUTE_TYPE}


def image_topic(camera: str, *, compressed: bool) -> str:
    """Our topic of a camera's images."""
    return f"/camera/{camera}/image" + ("/compressed" if compressed else "")


def info_topic(camera: str) -> str:
    """Our topic of a camera's ``CameraInfo``."""
    return f"/camera/{camera}/camera_info"


def parse_map(entries: Iterable[str], cameras: tuple[str, ...] = SURROUND_CAMERAS) -> dict[str, str]:
    """``--map`` arguments ``NAME=/topic`` as a mapping.

    Names are a camera (``front``), its info (``front.info``), ``odometry``, ``command`` or ``route``.

    Raises:
        InputError: for an argument that is not of this form.
    """
    names = (*cameras, *(f"{c}.info" for c in cameras), *_SINGLE)
    mapping = {}
    for entry in entries:
        name, equals, topic = entry.partition("=")
        if not equals or not topic.startswith("/") or name not in names:
            raise InputError(f"{entry!r}", "--map", f"NAME=/topic with NAME one of {', '.join(names)}")
        mapping[name] = topic
    return mapping


@dataclass(frozen=True, slots=True)
class BagTopics:
    """The topics of one bag by what they are for.

    Attributes:
        images: Topic of each camera found, in the order of `SURROUND_CAMERAS`.
        infos: Topic of each camera's ``CameraInfo``, where there is one.
        odometry, command, route: Topic, or empty where the bag has none.
        transforms: Topics of static transforms.
    """

    images: dict[str, str]
    infos: dict[str, str] = field(default_factory=dict)
    odometry: str = ""
    command: str = ""
    route: str = ""
    transforms: tuple[str, ...] = ()

    def role_of(self, topic: str) -> str:
        """What a topic is used for, in words; empty for one that is not used."""
        for kind, table in (("image", self.images), ("camera info", self.infos)):
            for camera, name in table.items():
                if name == topic:
                    return f"{kind} of {camera}"
        for kind in _SINGLE:
            if getattr(self, kind) == topic:
                return kind
        return "mounting of the cameras" if topic in self.transforms else ""


def _camera_in(topic: str) -> str | None:
    """The camera a topic speaks of: the longest camera name among its words."""
    words = "_" + "_".join(w for w in re.split(r"[^a-z0-9]+", topic.lower()) if w) + "_"
    for name in sorted(SURROUND_CAMERAS, key=len, reverse=True):
        if f"_{name}_" in words:
            return name
    return None


def _base(topic: str) -> str:
    """The namespace a camera's topics share (image_transport puts the transport behind the image)."""
    parts = topic.split("/")
    if parts[-1] in ("compressed", "image_raw", "image", "image_rect", "image_color", "image_rect_color"):
        parts = parts[:-1] if parts[-1] != "compressed" else parts[:-2]
    return "/".join(parts)


def find_topics(
    types: Mapping[str, str], mapping: Mapping[str, str], where: str, *, without_cameras: bool = False
) -> BagTopics:
    """Sort a bag's topics by what they are for.

    Args:
        types: Message type by topic.
        mapping: The user's own choice, of `parse_map`; the rest is found by name and type.
        where: The bag, for error lines.
        without_cameras: A bag without images is fine.

    Raises:
        InputError: where a mapped topic is not in the bag or of another type, or no topic carries images.
    """
    for name, topic in mapping.items():
        wanted = (INFO_TYPE,) if name.endswith(".info") else (_SINGLE[name],) if name in _SINGLE else IMAGE_TYPES
        if types.get(topic) not in wanted:
            found = f"{topic} is {types[topic]}" if topic in types else f"no topic {topic}"
            raise InputError(found, f"{where}: --map {name}", " or ".join(wanted))
    images: dict[str, str] = {}
    for topic in sorted(t for t, kind in types.items() if kind in IMAGE_TYPES):
        camera = _camera_in(topic)
        if camera is not None and camera not in images:
            images[camera] = topic
    images.update({n: t for n, t in mapping.items() if n in SURROUND_CAMERAS})
    if not images and not without_cameras:
        raise InputError("no camera", where, f"image topics named after {', '.join(SURROUND_CAMERAS)}, or --map")
    infos = {}
    for camera, topic in images.items():
        near = [t for t, kind in types.items() if kind == INFO_TYPE and t.startswith(_base(topic) + "/")]
        near += [t for t, kind in types.items() if kind == INFO_TYPE and _camera_in(t) == camera]
        chosen = mapping.get(f"{camera}.info") or (near[0] if near else "")
        if chosen:
            infos[camera] = chosen
    single = {
        kind: mapping.get(kind) or next((t for t, found in sorted(types.items()) if found == wanted), "")
        for kind, wanted in _SINGLE.items()
    }
    transforms = tuple(t for t, kind in types.items() if kind == TF_TYPE and "static" in t)
    ordered = {n: images[n] for n in SURROUND_CAMERAS if n in images}
    return BagTopics(ordered, infos, transforms=transforms, **single)
