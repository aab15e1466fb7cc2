"""Scripted manoeuvres on the vehicle model: what `./vadv2 tune` drives and what the tests hold the gains to.

A course is a line and a speed along it; a stand-in planner re-issues its next 8 s at 10 Hz, a tenth of a second old, as
the real one would; control runs at its own period against the vehicle model with its lags.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vadv2_control.configuration import ControlConfig
from vadv2_control.controller import Controller
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, Pose2, arc_length, project_to_polyline
from vadv2_core.stamps import Stamp, stamp_from_seconds
from vadv2_core.trajectory import PLAN_POINTS, TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle

_START: Stamp = stamp_from_seconds(1000.0)
_PLAN_PERIOD = 0.1
PLAN_LATENCY = 0.1
"""Seconds from a frame to the plan made from it, as the stand-in planner has it."""


@dataclass(frozen=True, slots=True)
class Course:
    """A line to drive and how fast.

    Attributes:
        name: Of the manoeuvre.
        line: (n, 2) densely sampled, starting at the origin along +x.
        times: (m,) seconds.
        stations: (m,) metres along the line at those times.
        start_speed: The vehicle's speed at the start, m/s.
    """

    name: str
    line: Array
    times: Array
    stations: Array
    start_speed: float

    @property
    def duration(self) -> float:
        """Seconds the course takes."""
        return float(self.times[-1])


@dataclass(frozen=True, slots=True)
class ManoeuvreResult:
    """What happened, one row a control step.

    Attributes:
        course: What was asked.
        times: (n,) s.
        poses: (n, 3) x, y, yaw.
        speeds: (n,) m/s.
        planned_speeds: (n,) m/s.
        steering: (n,) commanded tyre angle, rad.
        accelerations: (n,) m/s^2, as driven.
        lateral_errors: (n,) m, left of the line positive.
        stop_error: Metres past (+) or short of (-) the line's end where the course ends at standstill; None otherwise.
    """

    course: Course
    times: Array
    poses: Array
    speeds: Array
    planned_speeds: Array
    steering: Array
    accelerations: Array
    lateral_errors: Array
    stop_error: float | None

    def summary(self) -> dict[str, float]:
        """The numbers of the report: lateral error p95 and max, speed error RMS, stop error, jerk."""
        error = np.abs(self.lateral_errors)
        jerk = np.diff(self.accelerations) / np.diff(self.times)
        values = {
            "lateral_p95_m": float(np.percentile(error, 95)),
            "lateral_max_m": float(error.max()),
            "speed_rms_m_s": float(np.sqrt(np.mean((self.speeds - self.planned_speeds) ** 2))),
            "jerk_p95_m_s3": float(np.percentile(np.abs(jerk), 95)),
        }
        if self.stop_error is not None:
            values["stop_error_m"] = self.stop_error
        return values


def _at_constant_speed(name: str, line: Array, speed: float) -> Course:
    length = float(arc_length(line)[-1])
    times = np.linspace(0.0, length / speed, 400)
    return Course(name, line, times, times * speed, speed)


def slalom(speed: float = 50.0 / 3.6, amplitude: float = 1.5, wavelength: float = 60.0) -> Course:
    """A sine of lateral ``amplitude`` m and ``wavelength`` m, entered over half a wave."""
    x = np.arange(0.0, 6.0 * wavelength, 0.25)
    entry = 0.5 - 0.5 * np.cos(np.pi * np.clip(x / wavelength, 0.0, 1.0))
    return _at_constant_speed(
        "slalom", np.stack([x, amplitude * entry * np.sin(2 * np.pi * x / wavelength)], -1), speed
    )


def sine(speed: float = 8.0) -> Course:
    """A slow weave: 2 m amplitude, 50 m wavelength."""
    course = slalom(speed, 2.0, 50.0)
    return Course("sine", course.line, course.times, course.stations, speed)


def lane_change(speed: float = 15.0, width: float = 3.5, length: float = 60.0) -> Course:
    """One lane to the left along a quintic of ``length`` m."""
    x = np.arange(0.0, 200.0, 0.25)
    u = np.clip((x - 40.0) / length, 0.0, 1.0)
    return _at_constant_speed("lane_change", np.stack([x, width * (10 * u**3 - 15 * u**4 + 6 * u**5)], -1), speed)


def step(speed: float = 10.0, offset: float = 0.5) -> Course:
    """A straight line that starts ``offset`` m beside the vehicle."""
    x = np.arange(0.0, 150.0, 0.25)
    return _at_constant_speed("step", np.stack([x, np.full_like(x, offset)], -1), speed)


def turn(radius: float = 7.0, speed: float = 5.0) -> Course:
    """A right-angle turn of ``radius`` m with clothoid-like entry (curvature ramps over 4 m)."""
    s = np.arange(0.0, 60.0, 0.1)
    ramp = 4.0
    arc = 0.5 * np.pi * radius - ramp
    kappa = np.interp(s, [15.0, 15.0 + ramp, 15.0 + ramp + arc, 15.0 + 2 * ramp + arc], [0.0, 1.0, 1.0, 0.0]) / radius
    yaw = np.cumsum(kappa) * 0.1
    line = np.cumsum(np.stack([np.cos(yaw), np.sin(yaw)], -1) * 0.1, axis=0)
    return _at_constant_speed("turn", np.vstack([[0.0, 0.0], line]), speed)


def stop(speed: float = 14.0, deceleration: float = 2.0) -> Course:
    """Cruise, brake with an s-shaped speed to standstill, stand."""
    times = np.arange(0.0, 24.0, 0.05)
    brake = 1.5 * speed / deceleration
    u = np.clip((times - 4.0) / brake, 0.0, 1.0)
    speeds = speed * (1.0 - (3 * u**2 - 2 * u**3))
    stations = np.concatenate([[0.0], np.cumsum(0.5 * (speeds[1:] + speeds[:-1]) * 0.05)])
    x = np.arange(0.0, stations[-1] + 60.0, 0.25)
    return Course("stop", np.stack([x, np.zeros_like(x)], -1), times, stations, speed)


def start(speed: float = 10.0) -> Course:
    """From standstill to ``speed`` m/s with 1.5 m/s^2 on average."""
    times = np.arange(0.0, 16.0, 0.05)
    u = np.clip((times - 2.0) / (speed / 1.5), 0.0, 1.0)
    speeds = speed * (3 * u**2 - 2 * u**3)
    stations = np.concatenate([[0.0], np.cumsum(0.5 * (speeds[1:] + speeds[:-1]) * 0.05)])
    x = np.arange(0.0, stations[-1] + 60.0, 0.25)
    return Course("start", np.stack([x, np.zeros_like(x)], -1), times, stations, 0.0)


MANOEUVRES: dict[str, Callable[[], Course]] = {
    "step": step,
    "sine": sine,
    "lane_change": lane_change,
    "slalom": slalom,
    "turn": turn,
    "stop": stop,
    "start": start,
}
"""The courses of the report, by name."""


def plan_along(course: Course, time: float, ego: EgoState) -> TrajectoryCandidates:
    """The next 8 s of a course, as a planner at ``ego`` would say them."""
    t = 0.1 * np.arange(1, PLAN_POINTS + 1)
    along = arc_length(course.line)

    def station(at: Array) -> Array:
        rate = (course.stations[-1] - course.stations[-2]) / (course.times[-1] - course.times[-2])
        beyond = np.maximum(at - course.times[-1], 0.0) * rate
        return np.asarray(np.interp(at, course.times, course.stations) + beyond)

    s = station(time + t)
    x, y = np.interp(s, along, course.line[:, 0]), np.interp(s, along, course.line[:, 1])
    ahead = np.minimum(s + 0.25, along[-1])
    yaw = np.arctan2(
        np.interp(ahead, along, course.line[:, 1]) - np.interp(ahead - 0.5, along, course.line[:, 1]),
        np.interp(ahead, along, course.line[:, 0]) - np.interp(ahead - 0.5, along, course.line[:, 0]),
    )
    v = (station(time + t + 0.05) - station(time + t - 0.05)) / 0.1
    a = (station(time + t + 0.1) - 2.0 * s + station(time + t - 0.1)) / 0.01
    xy = ego.pose.inverse_transform(np.stack([x, y], -1))
    points = np.column_stack([t, xy, yaw - ego.pose.yaw, v, a])
    return TrajectoryCandidates(ego.stamp, ego.pose, points[None], np.ones(1), 0, "", "", "course", 0, {}, (), "course")


def drive_course(course: Course, config: ControlConfig, vehicle: VehicleConfig) -> ManoeuvreResult:
    """Drive a course on the vehicle model and record it."""
    controller = Controller(config, vehicle)
    state = VehicleState(Pose2(0.0, 0.0, 0.0), course.start_speed)
    ends_standing = course.stations[-1] - course.stations[-2] < 1e-6
    steps = int((course.duration + (3.0 if ends_standing else 0.0)) / config.period)
    plans: list[tuple[float, TrajectoryCandidates]] = []
    rows = []
    next_plan = 0.0
    for index in range(steps):
        time = index * config.period
        ego = _ego(state, time, vehicle)
        if time >= next_plan - 1e-9:
            plans.append((time + (PLAN_LATENCY if index else 0.0), plan_along(course, time, ego)))
            next_plan += _PLAN_PERIOD
        ready = [plan for available, plan in plans if available <= time + 1e-9]
        command, _ = controller.step(ready[-1] if ready else None, ego, ego.stamp)
        if index == 0:
            controller.engage()
            command, _ = controller.step(None, ego, ego.stamp)
        pose = state.pose
        rows.append((time, pose.x, pose.y, pose.yaw, state.speed, command.steering_angle, state.acceleration))
        state = step_vehicle(state, command, vehicle, config.period)
    table = np.array(rows)
    planned = np.interp(table[:, 0], course.times[:-1], np.diff(course.stations) / np.diff(course.times), right=None)
    _, lateral = project_to_polyline(course.line, table[:, 1:3])
    stop_error = None
    if ends_standing:
        stop_error = float(project_to_polyline(course.line, table[-1:, 1:3])[0][0] - course.stations[-1])
    return ManoeuvreResult(
        course, table[:, 0], table[:, 1:4], table[:, 4], planned, table[:, 5], table[:, 6], lateral, stop_error
    )


def _ego(state: VehicleState, time: float, vehicle: VehicleConfig) -> EgoState:
    yaw_rate = state.speed * float(np.tan(state.steering_angle)) / vehicle.wheel_base
    return EgoState(
        _START + stamp_from_seconds(time),
        state.pose,
        (state.speed, 0.0),
        (state.acceleration, state.speed * yaw_rate),
        yaw_rate,
        state.steering_angle,
    )
