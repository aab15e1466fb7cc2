"""A vehicle team's own bags: odometry is the truth, the rig is the bag's own or a file's.

Reading bags is ROS's business and lies elsewhere (`vadv2_bringup.bag_reader`); here is what a drive needs of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vadv2_core.camera import CameraFrame
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_training.recorded.drives import FRAME_RATE, MOTION, RecordedDrive, RecordedFrame
from vadv2_training.recorded.motion import driven_command, make_track, meta_action

_PERIOD = round(1e9 / FRAME_RATE)


class RecordedMoment(Protocol):
    """A frame as a bag reader gives it."""

    @property
    def frame(self) -> CameraFrame:
        """The pictures."""
        ...

    @property
    def ego(self) -> EgoState:
        """At the pictures' stamp."""
        ...

    @property
    def command(self) -> DrivingCommand:
        """The latest before it."""
        ...

    @property
    def route(self) -> Route | None:
        """The latest before it."""
        ...


class Bag(Protocol):
    """An open bag."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    def odometry(self) -> list[EgoState]:
        """Every odometry state in order of time."""
        ...

    def frames(self) -> Iterator[RecordedMoment]:
        """Frames in order of time."""
        ...


def shard_name(path: Path, taken: Sequence[str] = ()) -> str:
    """A shard's name of a bag's path; the folder's where the file's is taken."""
    name = f"bag-{path.stem}"
    return name if name not in taken else f"bag-{path.resolve().parent.name}-{path.stem}"


def bag_drive(bag: Bag, name: str, *, has_command: bool) -> RecordedDrive:
    """A bag as a drive.

    Args:
        bag: Open; it must stay open until the drive's frames were read.
        name: Of the shard.
        has_command: Whether the bag holds the commands that were given; otherwise they are read from where it went.

    Raises:
        InputError: for a bag without odometry, or shorter than a second.
    """
    states = bag.odometry()
    rows = [(s.stamp, s.pose.x, s.pose.y, s.pose.yaw) for s in states]
    track = make_track(rows, f"{bag.path}: odometry")
    if track.end - int(track.stamps[0]) < 1_000_000_000:
        raise InputError("odometry of less than a second", str(bag.path), "a drive")

    def frames() -> Iterator[RecordedFrame]:
        due = 0
        for moment in bag.frames():
            stamp = moment.frame.stamp
            # A tenth of the period of grace: a camera's clock is never exactly that of the frames.
            if stamp < due - _PERIOD // 10:
                continue
            late = stamp - due > _PERIOD
            due = (stamp if late else due) + _PERIOD
            command = moment.command if has_command else driven_command(track, stamp)
            yield RecordedFrame(moment.frame, moment.ego, command, moment.route, decision=meta_action(track, stamp))

    return RecordedDrive(name, "bag", frozenset({MOTION}), frames(), track)
