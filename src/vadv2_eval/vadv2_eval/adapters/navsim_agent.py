"""The stack as an agent of the NAVSIM devkit (v1.1 and v2); needs ``navsim`` to be importable.

In the devkit: put ``src/*`` of this workspace on PYTHONPATH and add ``agent/vadv2_agent.yaml``::

    _target_: vadv2_eval.adapters.navsim_agent.VADv2NavsimAgent
    _convert_: all
    model: tiny
    models: /path/to/models

then ``python navsim/planning/script/run_pdm_score.py agent=vadv2_agent train_test_split=navtest
experiment_name=vadv2``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from navsim.agents.abstract_agent import AbstractAgent  # type: ignore[import-not-found]
from navsim.common.dataclasses import AgentInput, SensorConfig, Trajectory  # type: ignore[import-not-found]
from nuplan.planning.simulation.trajectory.trajectory_sampling import (  # type: ignore[import-not-found]
    TrajectorySampling,
)

from vadv2_eval.adapters.frames import NAVSIM_CAMERAS, navsim_command, navsim_ego, navsim_frame, plan_poses

HISTORY_DT = 0.5
HISTORY = 4


class VADv2NavsimAgent(AbstractAgent):  # type: ignore[misc]
    """Plans 4 s every 0.5 s from the cameras of the last four frames.

    Args:
        model: Size of the system, or a folder below ``models``.
        models: Directory of model directories.
        trajectory_sampling: What the devkit asks for.
    """

    requires_scene = False

    def __init__(
        self, model: str = "tiny", models: str = "models", trajectory_sampling: TrajectorySampling | None = None
    ) -> None:
        sampling = trajectory_sampling or TrajectorySampling(time_horizon=4, interval_length=0.5)
        super().__init__(trajectory_sampling=sampling)
        self._sampling, self._model, self._models = sampling, model, models
        self._driver: Any = None

    def name(self) -> str:
        """See `AbstractAgent.name`."""
        return f"vadv2_{self._model}"

    def initialize(self) -> None:
        """Load the model."""
        from vadv2_driver import Driver, DriverConfig

        self._driver = Driver(DriverConfig(model=self._model, models=self._models))

    def get_sensor_config(self) -> SensorConfig:
        """Six of the eight cameras in all four history frames, no LiDAR."""
        wanted = {theirs: list(range(HISTORY)) for theirs in NAVSIM_CAMERAS.values()}
        others = dict.fromkeys(("cam_l1", "cam_r1", "lidar_pc"), False)
        return SensorConfig(**wanted, **others)

    def compute_trajectory(self, agent_input: AgentInput) -> Trajectory:
        """The plan of the newest frame, after the older ones went through the temporal history."""
        self._driver.reset()
        egos = navsim_ego(agent_input.ego_statuses, HISTORY_DT)
        output = None
        for ego, status, cameras in zip(egos, agent_input.ego_statuses, agent_input.cameras, strict=True):
            frame = navsim_frame(cameras, ego.stamp)
            output = self._driver.step(frame, ego, navsim_command(status.driving_command, ego.stamp), None)
        assert output is not None, "an agent input holds at least one frame"
        candidates = output.candidates
        chosen = int(np.argmax(candidates.confidences)) if candidates.chosen is None else candidates.chosen
        times = self._sampling.interval_length * np.arange(1, self._sampling.num_poses + 1)
        return Trajectory(plan_poses(candidates.points[chosen], times).astype(np.float32), self._sampling)
