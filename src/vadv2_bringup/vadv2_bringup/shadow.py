"""Driving beside somebody else: nothing is sent, and every place where the stack would have driven otherwise is kept.

The other driver is whoever moved the vehicle in the bag (a person, the expert). A disagreement is a planned place that
lies too far from where the vehicle then was, for several frames in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.bag_writer import BagWriter
from vadv2_core.config import parameter, validate
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, wrap_angle
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.taxonomy import LateralAction, LongitudinalAction
from vadv2_driver import Driver, DriverOutput


@dataclass(frozen=True, slots=True)
class ShadowConfig:
    """When two drivers differ."""

    horizon: float = parameter(2.0, "How far ahead they are compared.", unit="s", minimum=0.5, maximum=8.0)
    lateral: float = parameter(1.0, "Sideways difference that counts.", unit="m", minimum=0.1, maximum=20.0)
    longitudinal: float = parameter(4.0, "Difference along the way that counts.", unit="m", minimum=0.1, maximum=100.0)
    frames: int = parameter(3, "So many frames in a row make a disagreement.", minimum=1, maximum=100)
    margin: float = parameter(5.0, "Cut out before and after it.", unit="s", minimum=0.0, maximum=60.0)

    def __post_init__(self) -> None:
        validate(self, "shadow")


@dataclass(frozen=True, slots=True)
class ShadowFrame:
    """One frame compared.

    Attributes:
        stamp: Of the frame.
        lateral: Planned minus driven place, m to the left of the driven heading; NaN where it cannot be compared.
        longitudinal: The same along it.
        ours: What the stack would have done and why, in words.
        theirs: What was done, in words.
    """

    stamp: Stamp
    lateral: float
    longitudinal: float
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A stretch on which the stack would have driven otherwise.

    Attributes:
        begin: Stamp of its first frame.
        end: Of its last.
        worst: The frame that differs most.
        clip: Name of the bag cut out around it.
    """

    begin: Stamp
    end: Stamp
    worst: ShadowFrame
    clip: str


def done_in_words(states: Sequence[EgoState], stamp: Stamp, horizon: float) -> str:
    """What a driver did within a horizon: speed and direction, as meta-actions."""
    ahead = [s for s in states if 0.0 <= seconds_between(stamp, s.stamp) <= max(horizon, 3.0)]
    if len(ahead) < 2:
        return "unknown"
    change = ahead[-1].speed - ahead[0].speed
    if max(abs(s.speed) for s in ahead) < 0.5:
        speed = LongitudinalAction.STOP
    elif change > 1.5:
        speed = LongitudinalAction.ACCELERATE
    elif change < -1.5:
        speed = LongitudinalAction.DECELERATE
    else:
        speed = LongitudinalAction.KEEP
    turn = float(wrap_angle(ahead[-1].pose.yaw - ahead[0].pose.yaw))
    way = LateralAction.STRAIGHT
    if abs(turn) > 0.3:
        way = LateralAction.LEFT_TURN if turn > 0 else LateralAction.RIGHT_TURN
    return f"{speed.name.lower()}, {way.name.lower()} ({ahead[0].speed:.1f} to {ahead[-1].speed:.1f} m/s)"


def planned_in_words(output: DriverOutput) -> str:
    """What the stack would have done and why."""
    trajectory = output.candidates.trajectory()
    if trajectory is None:
        return f"no plan: {output.candidates.reason}"
    v = trajectory.points[: min(30, len(trajectory.points)), 4]
    words = trajectory.rationale or "no reasoning"
    return f"{v[0]:.1f} to {v[-1]:.1f} m/s in 3 s; {words}"


def compare(output: DriverOutput, ahead: Array, config: ShadowConfig, theirs: str) -> ShadowFrame:
    """One frame.

    Args:
        output: Of the driver.
        ahead: (n, 4) where the vehicle then was: seconds after the frame, x, y, yaw in base_link at the frame.
        config: Thresholds.
        theirs: What was done.
    """
    trajectory = output.candidates.trajectory()
    lateral = longitudinal = float("nan")
    if trajectory is not None and len(ahead) and ahead[-1, 0] >= config.horizon - 1e-6:
        points = trajectory.points
        if points[-1, 0] >= config.horizon - 1e-6:
            planned = [float(np.interp(config.horizon, points[:, 0], points[:, c])) for c in (1, 2)]
            driven = [float(np.interp(config.horizon, ahead[:, 0], ahead[:, c])) for c in (1, 2)]
            yaw = float(np.interp(config.horizon, ahead[:, 0], np.unwrap(ahead[:, 3])))
            dx, dy = planned[0] - driven[0], planned[1] - driven[1]
            longitudinal = float(np.cos(yaw) * dx + np.sin(yaw) * dy)
            lateral = float(-np.sin(yaw) * dx + np.cos(yaw) * dy)
    return ShadowFrame(output.stamp, lateral, longitudinal, planned_in_words(output), theirs)


def differs(frame: ShadowFrame, config: ShadowConfig) -> bool:
    """Whether a frame counts; one that cannot be compared does not."""
    return abs(frame.lateral) > config.lateral or abs(frame.longitudinal) > config.longitudinal


def stretches(frames: Sequence[ShadowFrame], config: ShadowConfig) -> list[list[ShadowFrame]]:
    """Runs of frames that differ, long enough to count."""
    found: list[list[ShadowFrame]] = []
    run: list[ShadowFrame] = []
    for frame in frames:
        if differs(frame, config):
            run.append(frame)
            continue
        if len(run) >= config.frames:
            found.append(run)
        run = []
    return [*found, run] if len(run) >= config.frames else found


def _size(frame: ShadowFrame, config: ShadowConfig) -> float:
    return max(abs(frame.lateral) / config.lateral, abs(frame.longitudinal) / config.longitudinal)


def way_ahead(states: Sequence[EgoState], stamp: Stamp, horizon: float) -> Array:
    """(n, 4) seconds, x, y, yaw of where the vehicle then was, in base_link at a stamp."""
    here = min(states, key=lambda s: abs(s.stamp - stamp))
    rows = []
    for state in states:
        t = seconds_between(stamp, state.stamp)
        if 0.0 <= t <= horizon + 1.0:
            pose = here.pose.relative(state.pose)
            rows.append((t, pose.x, pose.y, pose.yaw))
    return np.array(rows).reshape(-1, 4)


def shadow(
    reader: BagReader, driver: Driver, out: Path, config: ShadowConfig, progress: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Drive every frame of a bag beside its driver; writes ``shadow.json`` data and the bags cut out of it.

    Args:
        reader: The bag.
        driver: The stack; it sends nothing.
        out: Folder for the clips.
        config: Thresholds.
        progress: Called after every frame.

    Returns:
        Counts, every disagreement with both reasons, and the differences of every frame.
    """
    states = reader.odometry()
    frames = []
    for given in reader.frames():
        output = driver.step(given.frame, given.ego, given.command, given.route)
        ahead = way_ahead(states, output.stamp, config.horizon)
        frames.append(compare(output, ahead, config, done_in_words(states, output.stamp, config.horizon)))
        progress()
    found = []
    for number, run in enumerate(stretches(frames, config), start=1):
        worst = max(run, key=lambda f: _size(f, config))
        name = f"disagreement_{number:02d}"
        cut_out(reader, out / name, run[0].stamp, run[-1].stamp, config.margin)
        found.append(Disagreement(run[0].stamp, run[-1].stamp, worst, name))
    compared = [f for f in frames if np.isfinite(f.lateral)]
    return {
        "frames": len(frames),
        "compared": len(compared),
        "differing": sum(differs(f, config) for f in compared),
        "model_id": driver.model_id,
        "disagreements": [asdict(d) for d in found],
        "differences": [[f.stamp, round(f.lateral, 3), round(f.longitudinal, 3)] for f in compared],
    }


def cut_out(reader: BagReader, path: Path, begin: Stamp, end: Stamp, margin: float) -> None:
    """A part of a bag as a bag: everything between, and what was said once before."""
    low, high = begin - round(margin * NANOSECONDS), end + round(margin * NANOSECONDS)
    latched: dict[str, tuple[str, Stamp, bytes]] = {}
    with BagWriter(path) as bag:
        started = False
        for topic, kind, stamp, data in reader.serialized():
            if stamp < low:
                if topic.endswith(("tf_static", "camera_info", "driving_command", "route")):
                    latched[topic] = (kind, low, data)
                continue
            if stamp > high:
                continue
            if not started:
                started = True
                for name, (held_kind, when, held) in latched.items():
                    bag.write_serialized(name, held_kind, held, when, latched=True)
            bag.write_serialized(topic, kind, data, stamp, latched=topic.endswith("tf_static"))
