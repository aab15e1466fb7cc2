"""nuScenes: the devkit's JSON tables (schema of nutonomy/nuscenes-devkit) as recorded drives, without the devkit.

The tables are plain JSON keyed by tokens. Key frames are two a second; the ego's path comes from the pose of every
sample_data row, sweeps too; boxes from sample_annotation. There is no navigation and no narration in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_core.geometry import Array
from vadv2_core.scene import Agent
from vadv2_core.taxonomy import AgentClass, AgentIntention
from vadv2_training.recorded.drives import MOTION, OBJECTS, RecordedDrive, RecordedFrame, read_picture
from vadv2_training.recorded.motion import Track, driven_command, make_track, meta_action

CHANNELS = {name: f"CAM_{name.upper()}" for name in SURROUND_CAMERAS}
"""Our camera names to nuScenes' channels."""
_CLASSES = (
    ("vehicle.bus", AgentClass.BUS),
    ("vehicle.truck", AgentClass.TRUCK),
    ("vehicle.trailer", AgentClass.TRUCK),
    ("vehicle.construction", AgentClass.TRUCK),
    ("vehicle.emergency", AgentClass.EMERGENCY_VEHICLE),
    ("vehicle.motorcycle", AgentClass.MOTORCYCLE),
    ("vehicle.bicycle", AgentClass.BICYCLE),
    ("vehicle", AgentClass.CAR),
    ("human.pedestrian", AgentClass.PEDESTRIAN),
    ("movable_object.trafficcone", AgentClass.TRAFFIC_CONE),
    ("movable_object.barrier", AgentClass.BARRIER),
    ("movable_object", AgentClass.GENERIC_OBJECT),
    ("static_object", AgentClass.GENERIC_OBJECT),
    ("animal", AgentClass.GENERIC_OBJECT),
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "scene": ("token", "name", "first_sample_token"),
    "sample": ("token", "timestamp", "scene_token", "next"),
    "sample_data": (
        "token",
        "sample_token",
        "ego_pose_token",
        "calibrated_sensor_token",
        "timestamp",
        "is_key_frame",
        "filename",
    ),
    "ego_pose": ("token", "translation", "rotation"),
    "calibrated_sensor": ("token", "sensor_token", "translation", "rotation", "camera_intrinsic"),
    "sensor": ("token", "channel", "modality"),
    "sample_annotation": (
        "token",
        "sample_token",
        "instance_token",
        "translation",
        "size",
        "rotation",
        "visibility_token",
    ),
    "instance": ("token", "category_token"),
    "category": ("token", "name"),
}


def rotation_matrix(quaternion: Any) -> Array:
    """(3, 3) of a quaternion (w, x, y, z)."""
    w, x, y, z = np.asarray(quaternion, dtype=np.float64) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def yaw_of(quaternion: Any) -> float:
    """Heading about the vertical axis, rad."""
    m = rotation_matrix(quaternion)
    return float(np.arctan2(m[1, 0], m[0, 0]))


def class_of(category: str) -> AgentClass:
    """Our class of a nuScenes category."""
    return next((cls for start, cls in _CLASSES if category.startswith(start)), AgentClass.UNKNOWN)


class NuScenesTables:
    """The tables of one version.

    Args:
        root: Data root, with ``samples/`` and the folder of tables in it.
        version: Folder of the tables (``v1.0-mini``, ``v1.0-trainval``).

    Raises:
        InputError: for a table that is missing or of another form, naming file and field.
    """

    def __init__(self, root: Path, version: str) -> None:
        self.root, self.folder = root, root / version
        if not self.folder.is_dir():
            raise InputError("has no tables", str(self.folder), "a folder such as v1.0-mini below the data root")

    def _table(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / f"{name}.json"
        rows = read_json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError("is no table", str(path), "a list of records")
        for index, row in enumerate(rows):
            missing = next((key for key in _FIELDS[name] if key not in row), None)
            if missing is not None:
                raise InputError(f"record {index} has no {missing!r}", str(path), ", ".join(_FIELDS[name]))
        return rows

    def _keyed(self, name: str) -> dict[str, dict[str, Any]]:
        return {row["token"]: row for row in self._table(name)}

    @cached_property
    def scenes(self) -> list[dict[str, Any]]:
        """Scenes in their order."""
        return self._table("scene")

    @cached_property
    def samples(self) -> dict[str, dict[str, Any]]:
        """Key frames by token."""
        return self._keyed("sample")

    @cached_property
    def ego_poses(self) -> dict[str, dict[str, Any]]:
        """Ego poses by token."""
        return self._keyed("ego_pose")

    @cached_property
    def calibrations(self) -> dict[str, dict[str, Any]]:
        """Calibrated sensors by token, with their channel."""
        sensors = self._keyed("sensor")
        found = self._keyed("calibrated_sensor")
        for row in found.values():
            sensor = self.row(sensors, row["sensor_token"], "sensor", "calibrated_sensor.sensor_token")
            row["channel"] = sensor["channel"]
        return found

    @cached_property
    def data_of(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of sample_data by the key frame they belong to."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._table("sample_data"):
            found.setdefault(row["sample_token"], []).append(row)
        return found

    @cached_property
    def boxes_of(self) -> dict[str, list[dict[str, Any]]]:
        """Annotated boxes by key frame, with their category's name; none where the version has no annotations."""
        if not (self.folder / "sample_annotation.json").is_file():
            return {}
        categories, instances = self._keyed("category"), self._keyed("instance")
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._table("sample_annotation"):
            instance = self.row(instances, row["instance_token"], "instance", "sample_annotation.instance_token")
            category = self.row(categories, instance["category_token"], "category", "instance.category_token")
            row["category"] = category["name"]
            found.setdefault(row["sample_token"], []).append(row)
        return found

    def row(self, table: Mapping[str, dict[str, Any]], token: str, name: str, field: str) -> dict[str, Any]:
        """A record by its token.

        Raises:
            InputError: naming the table and the field that points at nothing.
        """
        if token not in table:
            raise InputError(f"{field} points at {token!r}", str(self.folder / f"{name}.json"), "a record's token")
        return table[token]

    def frames_of(self, scene: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Key frames of a scene in order."""
        token, frames = str(scene["first_sample_token"]), []
        while token:
            frames.append(self.row(self.samples, token, "sample", "sample.next"))
            token = str(frames[-1]["next"])
            if len(frames) > len(self.samples):
                raise InputError("sample.next goes round in a circle", str(self.folder / "sample.json"), "an end")
        return frames


def _numbers(row: Mapping[str, Any], key: str, count: int, where: str) -> Array:
    try:
        values = np.asarray(row[key], dtype=np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError(f"{key} of {row['token']} is {row[key]!r}", where, f"{count} finite numbers")
    return values


def ego_track(tables: NuScenesTables, frames: list[dict[str, Any]], name: str) -> Track:
    """The ego's path through a scene, from the pose of every sensor's every reading."""
    where = str(tables.folder / "ego_pose.json")
    rows = []
    for frame in frames:
        for data in tables.data_of.get(frame["token"], ()):
            pose = tables.row(tables.ego_poses, data["ego_pose_token"], "ego_pose", "sample_data.ego_pose_token")
            x, y, _ = _numbers(pose, "translation", 3, where)
            yaw = yaw_of(_numbers(pose, "rotation", 4, where))
            rows.append((int(data["timestamp"]) * 1000, float(x), float(y), yaw))
    return make_track(rows, f"{where}: {name}")


def _camera(tables: NuScenesTables, name: str, data: Mapping[str, Any], size: tuple[int, int]) -> CameraModel:
    where = str(tables.folder / "calibrated_sensor.json")
    row = tables.row(
        tables.calibrations, data["calibrated_sensor_token"], "calibrated_sensor", "sample_data.calibrated_sensor_token"
    )
    k = np.asarray(row["camera_intrinsic"], dtype=np.float64)
    if k.shape != (3, 3):
        raise InputError(f"camera_intrinsic of {row['token']} is not 3x3", where, "3x3 numbers for a camera")
    t = np.eye(4)
    t[:3, :3] = rotation_matrix(_numbers(row, "rotation", 4, where))
    t[:3, 3] = _numbers(row, "translation", 3, where)
    return CameraModel(name, *size, k, t)


def _pictures(tables: NuScenesTables, frame: Mapping[str, Any], name: str) -> CameraFrame:
    data_of = {}
    for row in tables.data_of.get(str(frame["token"]), ()):
        if row["is_key_frame"]:
            calibration = tables.calibrations.get(row["calibrated_sensor_token"], {})
            data_of[calibration.get("channel")] = row
    cameras, images, stamps = [], [], []
    for camera, channel in CHANNELS.items():
        if channel not in data_of:
            path = str(tables.folder / "sample_data.json")
            raise InputError(f"sample {frame['token']} ({name}) has no key frame of {channel}", path, "all six cameras")
        row = data_of[channel]
        image = read_picture(tables.root / row["filename"])
        cameras.append(_camera(tables, camera, row, (image.shape[1], image.shape[0])))
        images.append(image)
        stamps.append(int(row["timestamp"]) * 1000)
    valid = np.ones(len(images), dtype=bool)
    return CameraFrame(stamps[0], CameraRig(tuple(cameras)), tuple(images), np.array(stamps, dtype=np.int64), valid)


def _agents(tables: NuScenesTables, frame: Mapping[str, Any], paths: Mapping[str, Array]) -> tuple[Agent, ...]:
    where = str(tables.folder / "sample_annotation.json")
    found = []
    for row in tables.boxes_of.get(str(frame["token"]), ()):
        cls = class_of(row["category"])
        # Visibility 1 is less than 40 % of a box in all pictures together: too little to be asked for.
        if cls is AgentClass.UNKNOWN or str(row["visibility_token"]) == "1":
            continue
        x, y, _ = _numbers(row, "translation", 3, where)
        width, length, height = _numbers(row, "size", 3, where)
        path = paths[row["instance_token"]]
        t = int(frame["timestamp"]) * 1e-6
        near = np.abs(path[:, 0] - t) < 1.1
        velocity = np.zeros(2)
        if near.sum() >= 2:
            velocity = (path[near][-1, 1:3] - path[near][0, 1:3]) / (path[near][-1, 0] - path[near][0, 0])
        yaw = yaw_of(_numbers(row, "rotation", 4, where))
        found.append(
            Agent(
                str(row["instance_token"]), cls, float(x), float(y), yaw, float(length), float(width), float(height),
                (float(velocity[0]), float(velocity[1])), intention=AgentIntention.UNKNOWN,
            )
        )  # fmt: skip
    return tuple(found)


def _paths(tables: NuScenesTables, frames: list[dict[str, Any]]) -> dict[str, Array]:
    where = str(tables.folder / "sample_annotation.json")
    rows: dict[str, list[list[float]]] = {}
    for frame in frames:
        for row in tables.boxes_of.get(frame["token"], ()):
            x, y, _ = _numbers(row, "translation", 3, where)
            yaw = yaw_of(_numbers(row, "rotation", 4, where))
            rows.setdefault(row["instance_token"], []).append([int(frame["timestamp"]) * 1e-6, x, y, yaw])
    return {token: np.array(path) for token, path in rows.items()}


def nuscenes_drive(tables: NuScenesTables, scene: Mapping[str, Any]) -> RecordedDrive:
    """One scene; pictures are read as its frames are asked for.

    Raises:
        InputError: naming the table and field that is missing or points at nothing.
    """
    name = str(scene["name"])
    keys = tables.frames_of(scene)
    track, paths = ego_track(tables, keys, name), _paths(tables, keys)

    def frames() -> Iterator[RecordedFrame]:
        for key in keys:
            pictures = _pictures(tables, key, name)
            ego = track.state_at(pictures.stamp)
            yield RecordedFrame(
                pictures,
                ego,
                driven_command(track, pictures.stamp),
                agents=_agents(tables, key, paths),
                decision=meta_action(track, pictures.stamp),
            )

    knows = frozenset({MOTION, OBJECTS} if tables.boxes_of else {MOTION})
    return RecordedDrive(name, "nuscenes", knows, frames(), track, paths)
