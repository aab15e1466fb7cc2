"""The running system in one place: nodes, parameters, topics. Launch files and the supervisor read it.

In the nodes topics are private and relative; here they get the names others see. A name without a leading slash moves
with the namespace.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from vadv2_bringup.environment import WORKSPACE
from vadv2_bringup.ring_recorder import RecorderConfig
from vadv2_control.configuration import ControlConfig
from vadv2_control.node_configuration import ControlNodeConfig
from vadv2_core.camera import SURROUND_CAMERAS, load_rig
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.errors import InputError
from vadv2_core.vehicle import load_vehicle
from vadv2_driver.configuration import DriverConfig
from vadv2_perception.node_configuration import PerceptionNodeConfig
from vadv2_planner.node_configuration import CommanderNodeConfig, PlannerNodeConfig
from vadv2_sim.node_configuration import SimNodeConfig
from vadv2_vlm.node_configuration import VlmNodeConfig

CONFIG = WORKSPACE / "config"
"""Parameter files, interfaces, rigs, vehicles and layouts."""

NODE_CONFIGS: dict[str, type] = {
    "perception": PerceptionNodeConfig,
    "vlm": VlmNodeConfig,
    "planner": PlannerNodeConfig,
    "commander": CommanderNodeConfig,
    "control": ControlNodeConfig,
    "recorder": RecorderConfig,
    "sim": SimNodeConfig,
}
"""Config dataclass of every node, by node name."""

PACKAGES = {
    "perception": "vadv2_perception",
    "vlm": "vadv2_vlm",
    "planner": "vadv2_planner",
    "commander": "vadv2_planner",
    "control": "vadv2_control",
    "recorder": "vadv2_bringup",
    "sim": "vadv2_sim",
}
"""Package of every node."""

TOPICS: dict[str, dict[str, str]] = {
    "perception": {
        "~/input/odometry": "odometry",
        "~/input/ego_state": "ego_state",
        "~/input/trajectory": "trajectory",
        "~/output/scene_tokens": "scene_tokens",
        "~/debug/overlay": "overlay",
    },
    "vlm": {
        "~/input/scene_tokens": "scene_tokens",
        "~/input/driving_command": "driving_command",
        "~/input/route": "route",
        "~/input/trajectory": "trajectory",
        "~/output/reasoning_embedding": "reasoning_embedding",
        "~/output/reasoning": "reasoning",
        "~/output/reasoning_text": "reasoning_text",
    },
    "planner": {
        "~/input/scene_tokens": "scene_tokens",
        "~/input/driving_command": "driving_command",
        "~/input/route": "route",
        "~/input/reasoning": "reasoning",
        "~/input/reasoning_embedding": "reasoning_embedding",
        "~/output/trajectory_candidates": "trajectory_candidates",
        "~/output/trajectory": "trajectory",
        "~/output/path": "path",
        "~/debug/markers": "markers",
    },
    "commander": {
        "~/input/odometry": "odometry",
        "~/input/ego_state": "ego_state",
        "~/input/route": "route",
        "~/input/instruction": "instruction",
        "~/output/driving_command": "driving_command",
    },
    "control": {
        "~/input/odometry": "odometry",
        "~/input/ego_state": "ego_state",
        "~/input/trajectory_candidates": "trajectory_candidates",
        "~/input/objects": "objects",
        "~/input/control_mode": "control_mode",
        "~/output/vehicle_command": "vehicle_command",
        "~/output/drive_status": "drive_status",
        "~/output/command": "command",
    },
    "recorder": {
        f"~/input/{name}": name
        for name in (
            "odometry",
            "ego_state",
            "driving_command",
            "route",
            "scene_tokens",
            "reasoning",
            "trajectory_candidates",
            "vehicle_command",
            "drive_status",
        )
    },
    "sim": {
        "~/input/vehicle_command": "vehicle_command",
        "~/output/odometry": "odometry",
        "~/output/ego_state": "ego_state",
        "~/output/driving_command": "driving_command",
        "~/output/route": "route",
        "~/output/trajectory_candidates": "trajectory_candidates",
        "~/truth/scene": "truth/scene",
        "~/truth/reasoning": "truth/reasoning",
    },
}
"""Private name to public name, by node; the cameras' are added from the rig."""

SHADOWED = ("vehicle_command", "command")
"""Outputs that no vehicle hears in shadow mode: they get ``shadow/`` before their name."""

RESPAWNED = ("perception", "vlm", "planner", "commander", "recorder")
"""Nodes that may be started again where they die: control rides out their absence. Control itself is not: its state
(engaged, an emergency that is latched) died with it, and the vehicle must have stopped obeying it."""

COMMAND_PACKAGES: dict[str, tuple[str, ...]] = {
    "vadv2": (),
    "twist": ("geometry_msgs",),
    "ackermann": ("ackermann_msgs",),
    "autoware": ("autoware_control_msgs",),
    "carla": ("carla_msgs",),
}
"""Types of command a vehicle may obey, and the message packages each one needs."""

IN_STEP_WAIT = 120.0
"""Seconds the planner waits for a frame's own reasoning in step, before it plans without."""


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """What may be chosen when the nodes are started; a launch file's arguments by the same names.

    Attributes:
        interface: Name of ``config/interface/<name>.yaml``: the topics of the vehicle or simulator.
        namespace: Before every topic and node.
        use_sim_time: Time comes from ``/clock``.
        params_file: Parameters that go before all others; empty for none.
        autostart: Nodes configure and activate themselves.
        log_level: debug, info, warn, error or fatal.
        rig_file: Calibration; empty takes CameraInfo and ``/tf_static``.
        image_transport: raw or compressed.
        vehicle: Name of ``config/vehicle/<name>.yaml``; empty for the configuration's own.
        commander: Start the commander: a route comes in, and nobody else says driving commands.
        recorder: Keep the last half minute of every topic and write clips of what happened.
        shadow: Drive beside another driver: never engaged, commands go to ``shadow/...``, the recorder runs.
        in_step: Replay one frame after the other: words, plan and control step for each, none dropped for being late.
    """

    interface: str = "sim"
    namespace: str = ""
    use_sim_time: bool = False
    params_file: str = ""
    autostart: bool = True
    log_level: str = "info"
    rig_file: str = ""
    image_transport: str = "raw"
    vehicle: str = ""
    commander: bool = False
    recorder: bool = False
    shadow: bool = False
    in_step: bool = False


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """One process.

    Attributes:
        name: Of the node.
        package: It lives in.
        executable: As ``ros2 run`` names it.
        parameters: That differ from the node's defaults, by dotted name.
        parameter_files: Before and after them; a later one wins.
        remappings: Private to public topic.
        environment: Added to the runtime environment.
    """

    name: str
    package: str
    executable: str
    parameters: dict[str, Any]
    parameter_files: tuple[str, ...]
    remappings: tuple[tuple[str, str], ...]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """What ``python -m`` runs."""
        return f"{self.package}.{self.executable}"


@dataclass(frozen=True, slots=True)
class SystemDescription:
    """All processes, and what they share."""

    nodes: tuple[NodeDescription, ...]
    options: SystemOptions

    def topic(self, public: str) -> str:
        """The full name of a public topic, as a client outside uses it."""
        if public.startswith("/"):
            return public
        return "/".join(["", *filter(None, [self.options.namespace.strip("/"), public])])


@dataclass(frozen=True, slots=True)
class Interface:
    """What a vehicle or simulator calls our public topics, and which type of command it obeys."""

    topics: Mapping[str, str]
    command: str


def load_interface(name: str, folder: Path = CONFIG / "interface") -> Interface:
    """Read ``config/interface/<name>.yaml``.

    Raises:
        InputError: for a name that is not there, naming those that are.
    """
    path = folder / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except OSError:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise InputError(f"interface {name!r} is not there", str(path), f"one of {known}") from None
    except yaml.YAMLError as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", str(path), "YAML") from None
    unknown = set(values) - {"topics", "command"}
    if unknown:
        raise InputError(f"unknown key {sorted(unknown)[0]!r}", str(path), "topics, command")
    command = str(values.get("command", "vadv2"))
    if command not in COMMAND_PACKAGES:
        raise InputError(f"command is {command!r}", str(path), "one of " + ", ".join(COMMAND_PACKAGES))
    topics = values.get("topics") or {}
    return Interface({str(k): str(v) for k, v in topics.items()}, command)


def camera_topics(cameras: tuple[str, ...], transport: str, rig_file: str) -> dict[str, str]:
    """Private to public topics of the cameras."""
    suffix = "/compressed" if transport == "compressed" else ""
    topics = {f"~/input/camera/{c}/image{suffix}": f"camera/{c}/image{suffix}" for c in cameras}
    if not rig_file:
        topics |= {f"~/input/camera/{c}/camera_info": f"camera/{c}/camera_info" for c in cameras}
    return topics


def node_cameras(options: SystemOptions) -> tuple[str, ...]:
    """Names of the rig's cameras."""
    return load_rig(Path(options.rig_file)).names if options.rig_file else SURROUND_CAMERAS


def changed(config: Any) -> dict[str, Any]:
    """What a config says otherwise than its type's defaults, by dotted name."""

    def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
        return found

    defaults = flat(to_mapping(type(config)()))
    return {name: value for name, value in flat(to_mapping(config)).items() if value != defaults[name]}


def node_configs(driver: DriverConfig, options: SystemOptions) -> dict[str, Any]:
    """The config of every node for one system.

    Raises:
        InputError: for a model directory, rig file or vehicle that is not there.
    """
    if options.vehicle:
        vehicle = load_vehicle(CONFIG / "vehicle" / f"{options.vehicle}.yaml")
        driver = replace(driver, vehicle=vehicle, planner=replace(driver.planner, vehicle=vehicle))
    if options.shadow:
        control = driver.control
        driver = replace(driver, control=replace(control, drive=replace(control.drive, engage_automatically=False)))
    driver = driver.for_model()

    def directory(stage: str) -> str:
        found = driver.directory(stage)
        return "" if found is None else str(found.resolve())

    rig_file = str(Path(options.rig_file).resolve()) if options.rig_file else ""
    perception = PerceptionNodeConfig(
        model_directory=directory("perception"),
        rig_file=rig_file,
        image_transport=options.image_transport,
        encoder=driver.perception,
    )
    if rig_file:
        names = load_rig(Path(rig_file)).names
        anchor = perception.frames.anchor if perception.frames.anchor in names else names[0]
        perception = replace(perception, cameras=names, frames=replace(perception.frames, anchor=anchor))
    if options.in_step:
        # One frame is on its way at a time: nothing is late, and waiting costs nothing.
        perception = replace(perception, frames=replace(perception.frames, max_wait=1.0))
    configs = {
        "perception": perception,
        "vlm": VlmNodeConfig(
            model_directory=directory("vlm"),
            every=driver.reason_every if options.in_step else 0,
            reasoner=driver.vlm,
        ),
        "planner": PlannerNodeConfig(
            model_directory=directory("planner"),
            wait_for_reasoning=IN_STEP_WAIT if options.in_step and driver.reasons else 0.0,
            planner=driver.planner,
        ),
        "commander": CommanderNodeConfig(),
        "control": ControlNodeConfig(in_step=options.in_step, controller=driver.control, vehicle=driver.vehicle),
    }
    if not driver.reasons:
        del configs["vlm"]
    if not options.commander:
        del configs["commander"]
    if options.recorder or options.shadow:
        configs["recorder"] = RecorderConfig(rig_file=rig_file)
    return configs


def describe_system(driver: DriverConfig | None = None, options: SystemOptions | None = None) -> SystemDescription:
    """The nodes of one system with all their parameters and topics.

    Args:
        driver: Model, rates and stage configurations; by default the tiny model, which waits to be engaged.
        options: How they are started.

    Raises:
        InputError: for an interface, model, rig, vehicle or parameter file that is not there or not right.
    """
    driver = driver or DriverConfig(control=ControlConfig())
    options = options or SystemOptions()
    if options.params_file and not Path(options.params_file).is_file():
        raise InputError("is not there", options.params_file, "a ROS 2 parameter file")
    interface = load_interface(options.interface)
    nodes = []
    for name, config in node_configs(driver, options).items():
        topics = dict(TOPICS[name])
        if name == "perception":
            topics |= camera_topics(config.cameras, config.image_transport, config.rig_file)
        if name == "recorder":
            cameras = node_cameras(options)
            topics |= camera_topics(cameras, "raw", "") | camera_topics(cameras, "compressed", "")
        if options.shadow:
            topics = {k: f"shadow/{v}" if v in SHADOWED else v for k, v in topics.items()}
        if name == "control" and interface.command != "vadv2":
            config = replace(config, command_type=interface.command)
        parameters = {**changed(config), "autostart": options.autostart, "use_sim_time": options.use_sim_time}
        files = [str(CONFIG / f"{name}.param.yaml")]
        nodes.append(
            NodeDescription(
                name=name,
                package=PACKAGES[name],
                executable=f"{name}_node",
                parameters=parameters,
                parameter_files=tuple(f for f in files if Path(f).is_file()),
                remappings=tuple((private, interface.topics.get(public, public)) for private, public in topics.items()),
                environment={"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
            )
        )
    return SystemDescription(tuple(nodes), options)


def driver_for(model: str, models: str = "models", settings: Mapping[str, Any] | None = None) -> DriverConfig:
    """The driver's configuration of a named model; it waits to be engaged unless the settings say otherwise."""
    values = {"control.drive.engage_automatically": False, **(settings or {})}
    return from_mapping(DriverConfig, {"model": model, "models": models, **values}, "driver")


__all__ = [
    "NODE_CONFIGS",
    "PACKAGES",
    "SURROUND_CAMERAS",
    "TOPICS",
    "Interface",
    "NodeDescription",
    "SystemDescription",
    "SystemOptions",
    "describe_system",
    "driver_for",
    "load_interface",
]
