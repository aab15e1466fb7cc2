"""The system description as launch actions; imported by the launch files only, where ``launch`` is installed."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from vadv2_bringup.city_system import with_city
from vadv2_bringup.environment import default_settings
from vadv2_bringup.system import CONFIG, RESPAWNED, SystemDescription, SystemOptions, describe_system, driver_for
from vadv2_sim.node_configuration import SimNodeConfig

Argument = tuple[str, str, str]
"""Name, default, description of a launch argument."""

ARGUMENTS: tuple[Argument, ...] = (
    ("model", "tiny", "Size of the system: tiny, base, minimal, or a folder below models."),
    ("models", "models", "Directory of model directories."),
    ("interface", "sim", "Name of a file of config/interface: the topics of the vehicle or simulator."),
    ("namespace", "", "Before every node and topic."),
    ("use_sim_time", "false", "Time comes from /clock."),
    ("params_file", "", "ROS parameter file that goes before all others."),
    ("autostart", "true", "Nodes configure and activate themselves."),
    ("log_level", "info", "debug, info, warn, error or fatal."),
    ("rig_file", "", "Calibration (config/rig/*.yaml); empty takes CameraInfo and /tf_static."),
    ("image_transport", "raw", "raw or compressed."),
    ("vehicle", "", "Name of a file of config/vehicle; empty for the default vehicle."),
    ("commander", "false", "Make driving commands from the route; for vehicles that say none themselves."),
    ("recorder", "false", "Keep the last half minute and write a clip at an emergency, a take-over or when asked."),
    ("shadow", "false", "Drive beside another driver: send nothing, keep clips."),
    ("engage", "false", "Engage as soon as everything is there; on a vehicle call the service ~/engage."),
    ("respawn", "true", "Start a node that dies again after a second; control, never."),
    ("rviz", "false", "Open RViz with config/view/vadv2.rviz."),
)
"""Arguments of every launch file here."""

_SWITCHES = {f.name for f in fields(SystemOptions) if f.type == "bool"}


def _value(context: LaunchContext, name: str) -> str:
    return str(LaunchConfiguration(name).perform(context))


def _switch(context: LaunchContext, name: str) -> bool:
    return _value(context, name).lower() in ("true", "1", "yes", "on")


def described(context: LaunchContext) -> SystemDescription:
    """The system that the launch arguments ask for."""
    options: dict[str, Any] = {}
    for field in fields(SystemOptions):
        if field.name in context.launch_configurations:
            switch = field.name in _SWITCHES
            options[field.name] = _switch(context, field.name) if switch else _value(context, field.name)
    settings = {"control.drive.engage_automatically": _switch(context, "engage")}
    driver = driver_for(_value(context, "model"), _value(context, "models"), settings)
    if "scenario" not in context.launch_configurations:
        return describe_system(driver, SystemOptions(**options))
    rig_file = options.get("rig_file") or str(CONFIG / "rig" / "surround6.yaml")
    system = describe_system(driver, SystemOptions(**{**options, "rig_file": rig_file}))
    city = SimNodeConfig(
        town=_value(context, "town"),
        scenario=_value(context, "scenario"),
        seed=int(_value(context, "seed")),
        driver=_value(context, "driver"),
        in_step=False,
        rig_file=rig_file,
    )
    return with_city(system, city)


def node_actions(system: SystemDescription, respawn: bool = False) -> list[LifecycleNode]:
    """One lifecycle node, in a process of its own, for each that the system describes."""
    options = system.options
    user = [options.params_file] if options.params_file else []
    return [
        LifecycleNode(
            package=node.package,
            executable=node.executable,
            name=node.name,
            namespace=options.namespace,
            parameters=[*node.parameter_files, _plain(node.parameters), *user],
            remappings=list(node.remappings),
            additional_env=node.environment,
            arguments=["--ros-args", "--log-level", options.log_level],
            output="screen",
            # The node starts itself (`autostart`); launch has no such argument before Kilted.
            emulate_tty=True,
            respawn=respawn and node.name in RESPAWNED,
            respawn_delay=1.0,
        )
        for node in system.nodes
    ]


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}


def _start(context: LaunchContext) -> list[Any]:
    system = described(context)
    actions: list[Any] = list(node_actions(system, _switch(context, "respawn")))
    if _switch(context, "rviz"):
        arguments = ["-d", str(CONFIG / "view" / "vadv2.rviz")]
        actions.append(
            Node(package="rviz2", executable="rviz2", arguments=arguments, namespace=system.options.namespace)
        )
    bag = context.launch_configurations.get("bag", "")
    if bag:
        overrides = str(CONFIG / "replay" / "qos_overrides.yaml")
        command = ["ros2", "bag", "play", bag, "--clock", "--qos-profile-overrides-path", overrides]
        actions.append(ExecuteProcess(cmd=command, output="screen"))
    return actions


def launch_description(overrides: dict[str, str] | None = None, extra: tuple[Argument, ...] = ()) -> LaunchDescription:
    """A launch file's whole description.

    Args:
        overrides: Other defaults for some of `ARGUMENTS`.
        extra: Further arguments.
    """
    defaults = overrides or {}
    declared = [
        DeclareLaunchArgument(name, default_value=defaults.get(name, default), description=description)
        for name, default, description in (*ARGUMENTS, *extra)
    ]
    environment = [SetEnvironmentVariable(name, value) for name, value in default_settings(os.environ).items()]
    return LaunchDescription([*environment, *declared, OpaqueFunction(function=_start)])
