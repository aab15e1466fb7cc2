"""What is read from one rosbag2 for scoring: plans, odometry, reasonings, states, truth, camera stamps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.drive import DriveStatus
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.reasoning import Reasoning
from vadv2_core.stamps import NANOSECONDS, Stamp
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates

ODOMETRY, EGO, TOKENS = "nav_msgs/msg/Odometry", "vadv2_msgs/msg/EgoState", "vadv2_msgs/msg/SceneTokens"
CANDIDATES, TRAJECTORY = "vadv2_msgs/msg/TrajectoryCandidates", "vadv2_msgs/msg/Trajectory"
PATH = "nav_msgs/msg/Path"
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
ROLES: dict[str, tuple[str, ...]] = {
    "odometry": (ODOMETRY, EGO, TOKENS),
    "plan": (CANDIDATES, TRAJECTORY, PATH),
    "reasoning": ("vadv2_msgs/msg/Reasoning",),
    "truth_reasoning": ("vadv2_msgs/msg/Reasoning",),
    "status": ("vadv2_msgs/msg/DriveStatus",),
    "command": ("vadv2_msgs/msg/DrivingCommand",),
    "objects": ("std_msgs/msg/String",),
    "camera": IMAGES,
}
"""What a topic may be, and of which types; the first type that is there is taken."""
REQUIRED = ("plan",)
OBJECTS_TOPIC = "/truth/scene"
BACK_LIMIT = 0.5
"""s that stamps of a topic may step back (recording order), sorted then; more is a broken bag."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of a bag that was not scored: where and why."""

    where: str
    why: str


@dataclass(slots=True)
class Recording:
    """One bag.

    Attributes:
        name: Of the bag.
        truth: What the truth is taken from, in words.
        stamps, poses, speeds: Truth: (n,) ns rising, (n, 3) with unwrapped yaw, (n,) m/s.
        plans: In order of stamp, with their time of recording.
        reasonings, truth_reasonings, statuses, commands: Likewise.
        objects: Truth of the scene as JSON rows, by stamp.
        camera_stamps: Of the anchor camera; empty without images.
        left_out: Messages that could not be used.
    """

    name: str
    truth: str = ""
    stamps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    poses: Array = field(default_factory=lambda: np.zeros((0, 3)))
    speeds: Array = field(default_factory=lambda: np.zeros(0))
    plans: list[tuple[Stamp, TrajectoryCandidates]] = field(default_factory=list)
    reasonings: list[tuple[Stamp, Reasoning]] = field(default_factory=list)
    truth_reasonings: list[tuple[Stamp, Reasoning]] = field(default_factory=list)
    statuses: list[tuple[Stamp, DriveStatus]] = field(default_factory=list)
    commands: list[tuple[Stamp, Any]] = field(default_factory=list)
    objects: dict[Stamp, dict[str, Any]] = field(default_factory=dict)
    camera_stamps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    left_out: list[LeftOut] = field(default_factory=list)

    def pose_at(self, stamps: NDArray[np.int64]) -> Array:
        """(k, 4) x, y, yaw, speed interpolated at stamps; NaN outside the recording."""
        t = (stamps - self.stamps[0]) / NANOSECONDS
        at = (self.stamps - self.stamps[0]) / NANOSECONDS
        columns = [np.interp(t, at, c, left=np.nan, right=np.nan) for c in (*self.poses.T, self.speeds)]
        return np.column_stack(columns)


def parse_map(entries: Iterable[str]) -> dict[str, str]:
    """``--map ROLE=/topic`` arguments as a mapping.

    Raises:
        InputError: for an argument that is not of this form.
    """
    mapping = {}
    for entry in entries:
        role, equals, topic = entry.partition("=")
        if not equals or role not in ROLES or not topic.startswith("/"):
            raise InputError(f"{entry!r}", "--map", f"ROLE=/topic with ROLE one of {', '.join(ROLES)}")
        mapping[role] = topic
    return mapping


def choose_topics(types: Mapping[str, str], mapping: Mapping[str, str], where: str) -> dict[str, str]:
    """Topic by role: the user's, else the first of a fitting type (truth topics apart from the others).

    Raises:
        InputError: for a mapped topic that is missing or of another type, or a bag without a plan.
    """
    chosen = {}
    for role, kinds in ROLES.items():
        if role in mapping:
            topic = mapping[role]
            if types.get(topic) not in kinds:
                found = f"{topic} is {types[topic]}" if topic in types else f"no topic {topic}"
                raise InputError(found, f"{where}: --map {role}", " or ".join(kinds))
            chosen[role] = topic
            continue
        fitting = [t for kind in kinds for t, k in sorted(types.items()) if k == kind and _fits(role, t)]
        if fitting:
            chosen[role] = fitting[0]
    for role in REQUIRED:
        if role not in chosen:
            raise InputError(f"no {role}", where, f"a topic of {' or '.join(ROLES[role])}, or --map {role}=/topic")
    return chosen


def _fits(role: str, topic: str) -> bool:
    if role == "objects":
        return topic == OBJECTS_TOPIC
    if role == "camera":
        return "front" in topic and "left" not in topic and "right" not in topic
    return ("/truth" in topic) == role.startswith("truth")


def read_recording(path: Path, mapping: Mapping[str, str] | None = None) -> Recording:
    """Read a bag: a folder with ``metadata.yaml``, an ``.mcap`` or a ``.db3`` file.

    Raises:
        InputError: for a bag that is missing, cut short, without a plan or a truth, or with stamps that go back.
    """
    from rosbags.highlevel import AnyReader

    from vadv2_ros.bag_types import bag_typestore

    where, expected = str(path), "a rosbag2 folder, .mcap or .db3 file"
    if not path.exists():
        raise InputError("is not there", where, expected)
    try:
        reader = AnyReader([path], default_typestore=bag_typestore())
        reader.open()
    except Exception as error:  # rosbags, sqlite and yaml raise whatever a broken file makes of them
        raise InputError(f"cannot be read: {_first_line(error)}", where, expected) from None
    try:
        types = {c.topic: c.msgtype for c in reader.connections}
        topics = choose_topics(types, mapping or {}, where)
        recording = Recording("/".join(path.resolve().parts[-2:]))
        _Filler(recording, reader, topics, types, where).fill()
    finally:
        reader.close()
    return recording


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Filler:
    """Reads the chosen topics of an open bag into a recording."""

    def __init__(
        self, recording: Recording, reader: Any, topics: dict[str, str], types: dict[str, str], where: str
    ) -> None:
        self._recording, self._reader, self._where = recording, reader, where
        self._topics, self._types = topics, types
        self._truth: list[tuple[Stamp, float, float, float, float]] = []
        self._cameras: list[Stamp] = []
        self._newest: dict[str, Stamp] = {}

    def fill(self) -> None:
        roles = {topic: role for role, topic in self._topics.items()}
        connections = [c for c in self._reader.connections if c.topic in roles]
        try:
            for connection, recorded, data in self._reader.messages(connections=connections):
                role = roles[connection.topic]
                try:
                    message = self._reader.deserialize(data, connection.msgtype)
                    self._take(role, connection.topic, connection.msgtype, recorded, message)
                except _BrokenBagError:
                    raise
                except InputError as error:
                    self._recording.left_out.append(LeftOut(f"{connection.topic} at {recorded}", str(error)))
                except Exception as error:  # damaged CDR surfaces as struct, index or type errors
                    self._recording.left_out.append(
                        LeftOut(f"{connection.topic} at {recorded}", f"unreadable: {_first_line(error)}")
                    )
        except _BrokenBagError as broken:
            raise broken.error from None
        except Exception as error:  # a truncated file surfaces as whatever the storage makes of it
            raise InputError(f"breaks off: {_first_line(error)}", self._where, "a whole bag") from None
        self._finish()

    def _in_order(self, topic: str, stamp: Stamp) -> None:
        newest = self._newest.get(topic, stamp)
        if newest - stamp > BACK_LIMIT * NANOSECONDS:
            back = (newest - stamp) / NANOSECONDS
            raise _BrokenBagError(
                InputError(f"stamps go back by {back:.3f} s at {stamp}", f"{self._where}: {topic}", "rising stamps")
            )
        self._newest[topic] = max(newest, stamp)

    def _take(self, role: str, topic: str, kind: str, recorded: Stamp, message: Any) -> None:
        from vadv2_ros import conversions
        from vadv2_ros.fields import stamp_from_time
        from vadv2_ros.standard_messages import ego_state_from_odometry

        if role == "objects":
            row = json.loads(message.data)
            self._recording.objects[int(row["stamp"])] = row
            return
        stamp = stamp_from_time(message.header.stamp)
        self._in_order(topic, stamp)
        if role == "camera":
            self._cameras.append(stamp)
        elif role == "odometry":
            source = message.ego if kind == TOKENS else message
            ego = ego_state_from_odometry(message) if kind == ODOMETRY else conversions.ego_state_from_message(source)
            self._truth.append((ego.stamp, ego.pose.x, ego.pose.y, ego.pose.yaw, ego.speed))
        elif role == "plan":
            self._recording.plans.append((recorded, _plan_of(kind, message, conversions)))
        else:
            readers: dict[str, tuple[list[Any], Callable[[Any], Any]]] = {
                "reasoning": (self._recording.reasonings, conversions.reasoning_from_message),
                "truth_reasoning": (self._recording.truth_reasonings, conversions.reasoning_from_message),
                "status": (self._recording.statuses, conversions.drive_status_from_message),
                "command": (self._recording.commands, conversions.driving_command_from_message),
            }
            rows, convert = readers[role]
            rows.append((recorded, convert(message)))

    def _finish(self) -> None:
        r = self._recording
        if self._truth:
            r.truth = f"{self._topics['odometry']} ({self._types[self._topics['odometry']]})"
        else:
            r.truth = "poses the plans start from (the bag has no odometry)"
            self._truth = [(p.stamp, *_xyyaw(p.origin_pose), float("nan")) for _, p in r.plans]
        rows = sorted({row[0]: row for row in self._truth}.values())
        if len(rows) < 2:
            raise InputError("no truth", self._where, "odometry, ego states or at least two plans")
        r.stamps = np.array([row[0] for row in rows], dtype=np.int64)
        table = np.array([row[1:] for row in rows], dtype=np.float64)
        r.poses = np.column_stack([table[:, :2], np.unwrap(table[:, 2])])
        r.speeds = table[:, 3]
        if np.isnan(r.speeds).any():
            t = (r.stamps - r.stamps[0]) / NANOSECONDS
            r.speeds = np.hypot(*np.gradient(r.poses[:, :2], t, axis=0).T)
        r.plans.sort(key=lambda pair: pair[1].stamp)
        r.camera_stamps = np.array(sorted(self._cameras), dtype=np.int64)


class _BrokenBagError(Exception):
    """Carries an `InputError` that ends the bag, past the handler of single messages."""

    def __init__(self, error: InputError) -> None:
        super().__init__(str(error))
        self.error = error


def _xyyaw(pose: Pose2) -> tuple[float, float, float]:
    return pose.x, pose.y, pose.yaw


def trajectory_of_path(message: Any) -> Trajectory:
    """A ``nav_msgs/Path`` whose poses carry the time they are to be reached, in the frame of the odometry.

    Speeds and accelerations are differences; a pose at the path's own stamp is where it starts from.

    Raises:
        InputError: for a path of one pose, or poses without times of their own.
    """
    from vadv2_core.geometry import yaw_from_quaternion
    from vadv2_ros.fields import stamp_from_time

    stamp = stamp_from_time(message.header.stamp)
    rows = []
    for stamped in message.poses:
        position, turn = stamped.pose.position, stamped.pose.orientation
        after = (stamp_from_time(stamped.header.stamp) - stamp) / NANOSECONDS
        rows.append((after, position.x, position.y, yaw_from_quaternion(turn.x, turn.y, turn.z, turn.w)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    if len(table) < 2 or (np.diff(table[:, 0]) <= 0.0).any():
        raise InputError(f"the path of {stamp} has no times", "plan", "two poses or more, each stamped with its time")
    table[:, 3] = np.unwrap(table[:, 3])
    speeds = np.hypot(*np.gradient(table[:, 1:3], table[:, 0], axis=0).T)
    world = np.column_stack([table, speeds, np.gradient(speeds, table[:, 0])])
    ahead = world[world[:, 0] > 1e-6]
    return Trajectory(stamp, Pose2(0.0, 0.0, 0.0), ahead, 1.0, "")


def _plan_of(kind: str, message: Any, conversions: Any) -> TrajectoryCandidates:
    """A plan message as candidates, checked.

    Raises:
        InputError: for an empty horizon or points that are not finite.
    """
    if kind in (TRAJECTORY, PATH):
        one = trajectory_of_path(message) if kind == PATH else conversions.trajectory_from_message(message)
        plan = TrajectoryCandidates(
            one.stamp,
            one.origin_pose,
            one.points[None],
            np.array([one.confidence]),
            0,
            "",
            one.rationale,
            "",
            0,
            {},
            (),
            "",
        )
    else:
        plan = conversions.candidates_from_message(message)
    if plan.points.shape[0] == 0 or plan.points.shape[1] == 0:
        raise InputError(f"the plan of {plan.stamp} is empty", "plan", "at least one point")
    if not np.isfinite(plan.points).all() or not np.isfinite(plan.confidences).all():
        mode, point = np.argwhere(~np.isfinite(plan.points).all(axis=2))[0] if plan.points.size else (0, 0)
        raise InputError(
            f"the plan of {plan.stamp} is not finite (mode {mode}, point {point})", "plan", "finite numbers"
        )
    if (np.diff(plan.points[:, :, 0], axis=1) <= 0.0).any():
        raise InputError(f"times of the plan of {plan.stamp} do not rise", "plan", "rising t")
    return plan
