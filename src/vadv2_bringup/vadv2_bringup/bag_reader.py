"""Reading six-camera drives from rosbag2: MCAP or sqlite3, a folder or a single file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PosixPath
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from vadv2_bringup.bag_topics import BagTopics, find_topics
from vadv2_bringup.bag_writer import RIG_NAME
from vadv2_core.camera import CameraFrame, CameraRig, load_rig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.odometry import OdometryBuffer, OdometryConfig
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.taxonomy import DrivingAction
from vadv2_perception.frame_assembler import FrameAssembler, FrameAssemblerConfig
from vadv2_ros.bag_types import bag_typestore
from vadv2_ros.camera_messages import camera_from_info
from vadv2_ros.conversions import driving_command_from_message, route_from_message
from vadv2_ros.fields import stamp_from_time
from vadv2_ros.images import rgb_from_message
from vadv2_ros.mounting import to_base
from vadv2_ros.standard_messages import (
    ego_state_from_odometry,
    matrix_from_transform,
    odometry_from_ego_state,
)

_HISTORY = NANOSECONDS
"""Odometry this long before a frame goes with it."""
BAG_ASSEMBLY = FrameAssemblerConfig(max_wait=0.2)
"""Frames of a bag: waiting is in the bag's own time."""


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic of a bag: name, message type, how many messages, and what it is used for (empty: nothing)."""

    topic: str
    type: str
    count: int
    role: str


@dataclass(frozen=True, slots=True)
class BagFrame:
    """One frame of a bag with everything that belongs to it.

    Attributes:
        frame: The images.
        ego: At the frame's stamp, fitted from `odometry` exactly as a node does that hears it.
        command: The latest one before the frame; "follow the lane" where the bag has none.
        route: The latest one before the frame, or None.
        odometry: States of the last second since the frame before, the last one at the frame's stamp.
        images: (camera, message type, serialized message) of the frame's images.
    """

    frame: CameraFrame
    ego: EgoState
    command: DrivingCommand
    route: Route | None
    odometry: tuple[EgoState, ...]
    images: tuple[tuple[str, str, bytes], ...]


class _Folder(PosixPath):
    """A folder whose name may end in ``.bag``: by that ending rosbags tells a ROS 1 file."""

    suffix = ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class BagReader:
    """An open bag.

    Args:
        path: Folder with ``metadata.yaml``, or one ``.mcap`` or ``.db3`` file.
        mapping: Topics chosen by the user (`vadv2_bringup.bag_topics.parse_map`).
        rig: Calibration to use instead of the folder's own rig file, or of CameraInfo and ``/tf_static``.
        without_cameras: Also open a bag that has none, to look into it.

    Raises:
        InputError: for a bag that cannot be read or has no camera.
    """

    def __init__(
        self,
        path: Path,
        mapping: Mapping[str, str] | None = None,
        rig: CameraRig | None = None,
        *,
        without_cameras: bool = False,
    ) -> None:
        self.path = path
        kept = path / RIG_NAME
        self._given_rig = load_rig(kept) if rig is None and kept.is_file() else rig
        self._rig: CameraRig | None = None
        if not path.exists():
            raise InputError("is not there", str(path), "a rosbag2 folder, .mcap or .db3 file")
        try:
            self._reader = AnyReader([_Folder(path) if path.is_dir() else path], default_typestore=bag_typestore())
            self._reader.open()
        except Exception as error:  # rosbags, sqlite and yaml raise whatever a broken file makes of them
            raise InputError(
                f"cannot be read: {_first_line(error)}", str(path), "a rosbag2 folder, .mcap or .db3 file"
            ) from None
        try:
            types = {c.topic: c.msgtype for c in self._reader.connections}
            self.topics: BagTopics = find_topics(types, mapping or {}, str(path), without_cameras=without_cameras)
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def duration(self) -> float:
        """From first to last message, s."""
        return float(self._reader.duration) / NANOSECONDS

    def info(self) -> list[TopicInfo]:
        """Every topic, by name."""
        found = {c.topic: (c.msgtype, 0) for c in self._reader.connections}
        counts: Counter[str] = Counter()
        for connection in self._reader.connections:
            counts[connection.topic] += connection.msgcount
        return [TopicInfo(t, found[t][0], counts[t], self.topics.role_of(t)) for t in sorted(found)]

    def _connections(self, topics: tuple[str, ...]) -> list[Connection]:
        return [c for c in self._reader.connections if c.topic in topics]

    def serialized(self, *topics: str) -> Iterator[tuple[str, str, Stamp, bytes]]:
        """(topic, message type, time of recording, CDR bytes) in order of recording; all topics where none is named.

        Raises:
            InputError: for a bag that breaks off.
        """
        chosen = self._connections(topics) if topics else self._reader.connections
        if not chosen:
            return
        try:
            for connection, stamp, data in self._reader.messages(connections=chosen):
                yield connection.topic, connection.msgtype, stamp, bytes(data)
        except InputError:
            raise
        except Exception as error:  # a truncated file surfaces as whatever the storage makes of it
            raise InputError(f"breaks off: {_first_line(error)}", str(self.path), "a whole bag") from None

    def messages(self, *topics: str) -> Iterator[tuple[str, Stamp, Any]]:
        """(topic, time of recording, message) of the named topics in order of recording; none where none is named."""
        for topic, kind, stamp, data in self.serialized(*topics) if topics else ():
            yield topic, stamp, self.deserialized(data, kind, topic)

    def deserialized(self, data: bytes, kind: str, topic: str) -> Any:
        """A message from its CDR bytes.

        Raises:
            InputError: for damaged bytes, naming the topic.
        """
        try:
            return self._reader.deserialize(data, kind)
        except Exception as error:  # damaged CDR surfaces as struct, index or type errors
            raise InputError(f"{topic}: {_first_line(error)}", str(self.path), f"a readable {kind}") from None

    def image_stamp(self, kind: str, data: bytes) -> Stamp:
        """The exposure stamp of a serialized image."""
        return stamp_from_time(self.deserialized(data, kind, "image").header.stamp)

    @property
    def rig(self) -> CameraRig:
        """The cameras: the given rig's, or from CameraInfo and static transforms.

        Raises:
            InputError: for a camera without CameraInfo, without a mounting or with a singular K.
        """
        if self._rig is None:
            self._rig = self._given_rig or self._recorded_rig()
            missing = [name for name in self.topics.images if name not in self._rig.names]
            if missing:
                raise InputError(f"camera {missing[0]!r} is not in the rig", str(self.path), str(self._rig.names))
        return self._rig

    def _recorded_rig(self) -> CameraRig:
        infos: dict[str, Any] = {}
        wanted = {topic: camera for camera, topic in self.topics.infos.items()}
        for camera in self.topics.images:
            if camera not in self.topics.infos:
                raise InputError(f"camera {camera!r} has no CameraInfo", str(self.path), "camera_info, or --rig FILE")
        for topic, _, message in self.messages(*wanted):
            infos.setdefault(wanted[topic], message)
            if len(infos) == len(wanted):
                break
        edges: dict[str, tuple[str, NDArray[np.float64]]] = {}
        for _, _, message in self.messages(*self.topics.transforms):
            for transform in message.transforms:
                child, parent = (str(n).lstrip("/") for n in (transform.child_frame_id, transform.header.frame_id))
                edges[child] = (parent, matrix_from_transform(transform))
        cameras = []
        for camera in self.topics.images:
            if camera not in infos:
                raise InputError(f"camera {camera!r} has an empty CameraInfo topic", str(self.path), "--rig FILE")
            frame_id = str(infos[camera].header.frame_id).lstrip("/")
            mounting = to_base(frame_id, edges)
            if mounting is None:
                raise InputError(
                    f"no /tf_static from base_link to {frame_id!r} (camera {camera!r})", str(self.path), "--rig FILE"
                )
            try:
                cameras.append(camera_from_info(camera, infos[camera], mounting))
            except InputError as error:
                raise InputError(error.what, f"{self.path}: {error.where}", error.expected) from None
        return CameraRig(tuple(cameras))

    def check(self) -> None:
        """Look whether every camera has a mounting and a first image that can be read and has the announced size.

        Raises:
            InputError: naming the camera and what is wrong.
        """
        for camera in self.rig.cameras:
            if camera.name not in self.topics.images:
                continue
            topic = self.topics.images[camera.name]
            first = next(self.messages(topic), None)
            if first is None:
                raise InputError(f"{topic}: no image of camera {camera.name!r}", str(self.path), "at least one")
            image = rgb_from_message(first[2], f"{self.path}: {topic}")
            if image.shape[:2] != (camera.height, camera.width):
                found = f"{topic}: image is {image.shape[1]}x{image.shape[0]}"
                raise InputError(found, str(self.path), f"{camera.width}x{camera.height} as its calibration says")

    def odometry(self) -> list[EgoState]:
        """Every odometry state in order of time, acceleration fitted.

        Raises:
            InputError: for a bag without odometry.
        """
        if not self.topics.odometry:
            raise InputError("no odometry", str(self.path), "a nav_msgs/msg/Odometry topic, or --map odometry=/topic")
        buffer = OdometryBuffer(OdometryConfig(depth=10000))
        kept = []
        for _, _, message in self.messages(self.topics.odometry):
            state = buffer.push(ego_state_from_odometry(message), has_acceleration=False)
            if state is not None:
                kept.append(state)
        return sorted(kept, key=lambda s: s.stamp)

    def frames(self, config: FrameAssemblerConfig = BAG_ASSEMBLY) -> Iterator[BagFrame]:
        """Every frame with its ego state, command and route.

        Args:
            config: Slop, policy for a missing camera and so on; its anchor is the rig's first camera where the named
                one is not in the bag.

        Raises:
            InputError: for a bag without odometry near a frame, or broken messages.
        """
        rig = self.rig
        anchor = config.anchor if config.anchor in self.topics.images else next(iter(self.topics.images))
        if anchor != config.anchor:
            config = replace(config, anchor=anchor)
        assembler = FrameAssembler(config, rig)
        odometry = _FrameOdometry(self.odometry(), str(self.path))
        command, route = None, None
        cameras = {topic: camera for camera, topic in self.topics.images.items()}
        raw: dict[tuple[str, Stamp], tuple[str, str, bytes]] = {}
        latched = tuple(t for t in (self.topics.command, self.topics.route) if t)
        last_time = 0
        for topic, kind, time, data in self.serialized(*cameras, *latched):
            message = self.deserialized(data, kind, topic)
            last_time = time
            if topic == self.topics.command:
                command = driving_command_from_message(message)
            elif topic == self.topics.route:
                route = route_from_message(message)
            else:
                camera, stamp = cameras[topic], stamp_from_time(message.header.stamp)
                raw[camera, stamp] = (camera, kind, data)
                where = f"{self.path}: {topic}"
                assembler.push(camera, stamp, partial(rgb_from_message, message, where))
            yield from self._poll(assembler, time / NANOSECONDS, odometry, command, route, raw)
        yield from self._poll(assembler, last_time / NANOSECONDS + 1e6, odometry, command, route, raw)

    @staticmethod
    def _poll(
        assembler: FrameAssembler,
        now: float,
        odometry: _FrameOdometry,
        command: DrivingCommand | None,
        route: Route | None,
        raw: dict[tuple[str, Stamp], tuple[str, str, bytes]],
    ) -> Iterator[BagFrame]:
        while (pending := assembler.poll(now)) is not None:
            states, ego = odometry.until(pending.stamp)
            frame = assembler.assemble(pending, ego.speed)
            images = []
            for name, chosen in zip(assembler.rig.names, pending.chosen, strict=True):
                if chosen is not None:
                    images.append(raw[name, chosen.stamp])
            for key in [k for k in raw if k[1] < pending.stamp - 2 * NANOSECONDS]:
                del raw[key]
            if frame is not None:
                said = command or DrivingCommand(pending.stamp, "follow the lane", DrivingAction.LANE_FOLLOW)
                yield BagFrame(frame, ego, said, route, states, tuple(images))


class _FrameOdometry:
    """Deals a bag's odometry out to its frames, and says what a node knows that hears just that."""

    def __init__(self, states: list[EgoState], where: str) -> None:
        self._states, self._where, self._next = states, where, 0
        self._between = OdometryBuffer(OdometryConfig(depth=10000))
        for state in states:
            self._between.push(state)
        self._heard = OdometryBuffer()

    def until(self, stamp: Stamp) -> tuple[tuple[EgoState, ...], EgoState]:
        """The states since the last call up to the stamp, and the ego at it."""
        dealt = []
        while self._next < len(self._states) and self._states[self._next].stamp <= stamp:
            if self._states[self._next].stamp >= stamp - _HISTORY:
                dealt.append(self._states[self._next])
            self._next += 1
        if not dealt or dealt[-1].stamp != stamp:
            between = self._between.at(stamp)
            if between is None:
                newest = self._states[max(self._next - 1, 0)].stamp if self._states else 0
                away = seconds_between(newest, stamp)
                raise InputError(
                    f"no odometry near frame {stamp} (nearest {away:.2f} s away)", self._where, "<= 0.15 s"
                )
            # Through the message and back, as a node will read it.
            dealt.append(ego_state_from_odometry(odometry_from_ego_state(between)))
        for state in dealt:
            self._heard.push(state, has_acceleration=False)
        ego = self._heard.at(stamp)
        if ego is None:
            raise InputError(f"odometry goes back at frame {stamp}", self._where, "odometry in order of time")
        return tuple(dealt), ego
