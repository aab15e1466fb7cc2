"""The simulator's node in the system's words: private name to public name of its topics."""

from __future__ import annotations

from pathlib import Path

from vadv2_core.camera import load_rig
from vadv2_sim.node_configuration import SimNodeConfig
from vadv2_sim.rig_files import default_rig

SIM_TOPICS = {
    "~/input/vehicle_command": "vehicle_command",
    "~/output/odometry": "odometry",
    "~/output/ego_state": "ego_state",
    "~/output/driving_command": "driving_command",
    "~/output/route": "route",
    "~/output/trajectory_candidates": "trajectory_candidates",
    "~/truth/scene": "truth/scene",
    "~/truth/reasoning": "truth/reasoning",
}
"""The cameras' topics come from the rig: `camera_outputs`."""


def camera_outputs(config: SimNodeConfig) -> dict[str, str]:
    """Topics of the images and their calibration."""
    rig = load_rig(Path(config.rig_file)) if config.rig_file else default_rig()
    names = {}
    for camera in rig.names:
        for kind in ("image", "camera_info"):
            names[f"~/output/camera/{camera}/{kind}"] = f"camera/{camera}/{kind}"
    return names
