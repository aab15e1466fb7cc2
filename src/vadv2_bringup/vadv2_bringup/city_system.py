"""The simulator's node in the system's words: its topics, and the system of nodes that drives in the city."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vadv2_bringup.system import TOPICS, NodeDescription, SystemDescription, changed
from vadv2_core.camera import load_rig
from vadv2_sim.node_configuration import MODEL, SimNodeConfig
from vadv2_sim.rig_files import default_rig


def camera_outputs(config: SimNodeConfig) -> dict[str, str]:
    """Topics of the images and their calibration."""
    rig = load_rig(Path(config.rig_file)) if config.rig_file else default_rig()
    names = {}
    for camera in rig.names:
        for kind in ("image", "camera_info"):
            names[f"~/output/camera/{camera}/{kind}"] = f"camera/{camera}/{kind}"
    return names


def drivers_nodes(system: SystemDescription, driver: str) -> SystemDescription:
    """The stack's nodes that a driver needs: all for the model, else control; the recorder hears whoever drives."""
    if driver == MODEL:
        return system
    return replace(system, nodes=tuple(n for n in system.nodes if n.name in ("control", "recorder")))


def with_city(system: SystemDescription, config: SimNodeConfig) -> SystemDescription:
    """A system together with the simulator's node."""
    sim = NodeDescription(
        name="sim",
        package="vadv2_sim",
        executable="sim_node",
        # Simulated time comes from this node; its own clock is the wall's.
        parameters={**changed(config), "autostart": system.options.autostart, "use_sim_time": False},
        parameter_files=(),
        remappings=tuple({**TOPICS["sim"], **camera_outputs(config)}.items()),
        environment={"OMP_NUM_THREADS": "1"},
    )
    nodes = drivers_nodes(system, config.driver).nodes
    return replace(system, nodes=(sim, *nodes))
