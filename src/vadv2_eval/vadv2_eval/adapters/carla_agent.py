"""The stack as an agent of the CARLA leaderboard and of Bench2Drive; needs ``carla`` and ``leaderboard``.

Leaderboard 2: put ``src/*`` of this workspace on PYTHONPATH, then
``python leaderboard/leaderboard_evaluator.py --agent=src/vadv2_eval/vadv2_eval/adapters/carla_agent.py
--agent-config=vadv2.yaml --track=SENSORS --routes=...``. Bench2Drive: the same file as ``TEAM_AGENT`` and the same
config as ``TEAM_CONFIG``. The config is YAML with the keys of `DEFAULTS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import carla  # type: ignore[import-not-found]
import numpy as np
import yaml
from leaderboard.autoagents.autonomous_agent import AutonomousAgent, Track  # type: ignore[import-not-found]

from vadv2_core.camera import load_rig
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction
from vadv2_eval.adapters.frames import (
    CARLA_OPTIONS,
    carla_control,
    carla_ego,
    carla_frame,
    carla_route,
    carla_sensors,
    command_of,
)

DEFAULTS: dict[str, Any] = {
    "model": "tiny",
    "models": "models",
    "rig": "config/rig/surround6.yaml",
    "rear_axle_behind": 1.42,
    "max_wheel_angle": 1.2217,
}
"""``rear_axle_behind`` m from the vehicle's centre; ``max_wheel_angle`` rad of the benchmark's Lincoln MKZ."""
FRAME_PERIOD = 0.1
"""s between frames that are driven; commands are held in between (the benchmark steps at 20 Hz)."""
NEAR_MANOEUVRE = 50.0


def get_entry_point() -> str:
    """Name of the agent's class, as the leaderboard asks for it."""
    return "VADv2CarlaAgent"


class VADv2CarlaAgent(AutonomousAgent):  # type: ignore[misc]
    """Six cameras, GNSS, IMU and speedometer in; steer, throttle and brake out."""

    def setup(self, path_to_conf_file: str) -> None:
        """Load the model named in the config file (YAML; empty for the defaults)."""
        from vadv2_driver import Driver, DriverConfig

        self.track = Track.SENSORS
        path = Path(path_to_conf_file) if path_to_conf_file else None
        values = yaml.safe_load(path.read_text()) if path is not None and path.is_file() else {}
        unknown = sorted(set(values or {}) - set(DEFAULTS))
        if unknown:
            raise InputError(f"unknown key {unknown[0]!r}", str(path), "one of " + ", ".join(DEFAULTS))
        self.config: dict[str, Any] = DEFAULTS | (values or {})
        self.rig = load_rig(Path(self.config["rig"]))
        self.driver = Driver(DriverConfig(model=self.config["model"], models=self.config["models"]))
        self._points: Any = None
        self._options: list[int] = []
        self._last = -np.inf
        self._control = carla.VehicleControl(steer=0.0, throttle=0.0, brake=1.0)

    def sensors(self) -> list[dict[str, Any]]:
        """The rig as CARLA mounts it, with IMU, GNSS and speedometer."""
        return carla_sensors(self.rig, float(self.config["rear_axle_behind"]))

    def run_step(self, input_data: dict[str, Any], timestamp: float) -> Any:
        """The control for one step."""
        if self._points is None:
            self._read_plan()
        if timestamp - self._last < FRAME_PERIOD - 1e-3:
            return self._control
        self._last = timestamp
        ego = carla_ego(input_data, timestamp)
        frame = carla_frame(input_data, self.rig, ego.stamp)
        route = carla_route(self._points, ego)
        action, distance = self._next_action(ego.pose.x, ego.pose.y)
        output = self.driver.step(frame, ego, command_of(action, ego.stamp, distance), route)
        values = carla_control(output.command, ego.speed, float(self.config["max_wheel_angle"]))
        self._control = carla.VehicleControl(**values)
        return self._control

    def destroy(self) -> None:
        """Forget the drive."""
        self.driver.reset()

    def _read_plan(self) -> None:
        """The leaderboard's world plan in our frame (y to the left)."""
        plan = self._global_plan_world_coord
        self._points = np.array([(t.location.x, -t.location.y) for t, _ in plan], dtype=np.float64)
        self._options = [int(getattr(option, "value", option)) for _, option in plan]

    def _next_action(self, x: float, y: float) -> tuple[DrivingAction, float]:
        """The next option of the plan that is not lane following, within 50 m, and the way to it."""
        nearest = int(np.hypot(self._points[:, 0] - x, self._points[:, 1] - y).argmin())
        along = 0.0
        for i in range(nearest, len(self._options)):
            if i > nearest:
                along += float(np.hypot(*(self._points[i] - self._points[i - 1])))
            action = CARLA_OPTIONS.get(self._options[i], DrivingAction.LANE_FOLLOW)
            if along > NEAR_MANOEUVRE:
                break
            if action is not DrivingAction.LANE_FOLLOW:
                return action, along
        return DrivingAction.LANE_FOLLOW, 0.0
