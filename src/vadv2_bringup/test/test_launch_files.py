"""Launch files load, explain their arguments, and resolve to the nodes of the system description."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch is part of a ROS 2 distribution, and of no package index")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import get_launch_description_from_python_launch_file

from vadv2_bringup.environment import DISCOVERY_RANGE, OWN_MIDDLEWARE, default_settings
from vadv2_bringup.launch_description import described
from vadv2_bringup.system import CONFIG, WORKSPACE

FILES = sorted((WORKSPACE / "launch").glob("*.launch.py"))


@pytest.fixture(params=FILES, ids=lambda p: p.name)
def entities(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    for name in (*default_settings({}), *OWN_MIDDLEWARE, DISCOVERY_RANGE):
        monkeypatch.delenv(name, raising=False)
    return list(get_launch_description_from_python_launch_file(str(request.param)).entities)


def resolve(entities: list[object], **arguments: str) -> tuple[LaunchContext, list[object]]:
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    (start,) = (e for e in entities if isinstance(e, OpaqueFunction))
    return context, start.execute(context)


def test_every_argument_is_explained(entities: list[object]) -> None:
    declared = {e.name: e.description for e in entities if isinstance(e, DeclareLaunchArgument)}
    wanted = {"model", "interface", "namespace", "use_sim_time", "params_file", "autostart", "log_level", "rviz"}
    assert wanted <= declared.keys()
    assert all(len(text) > 10 for text in declared.values())


def test_the_environment_is_set(entities: list[object]) -> None:
    context = LaunchContext()
    for entity in entities:
        if isinstance(entity, SetEnvironmentVariable):
            entity.execute(context)
    wanted = default_settings({})
    assert {n: context.environment[n] for n in wanted} == wanted


def test_it_resolves_to_the_described_nodes(entities: list[object]) -> None:
    context, actions = resolve(entities, rig_file=str(CONFIG / "rig" / "surround6.yaml"), namespace="ego")
    system = described(context)
    assert [a.node_executable for a in actions] == [n.executable for n in system.nodes]
    assert [a.node_package for a in actions] == [n.package for n in system.nodes]
    assert "vlm_node" in [a.node_executable for a in actions]


def test_a_bag_is_played_with_its_clock() -> None:
    path = WORKSPACE / "launch" / "replay.launch.py"
    entities = list(get_launch_description_from_python_launch_file(str(path)).entities)
    rig = str(CONFIG / "rig" / "surround6.yaml")
    _, actions = resolve(entities, bag="/tmp/bag", rig_file=rig)
    command = ["".join(part.text for part in words) for words in actions[-1].cmd]
    assert command[:4] == ["ros2", "bag", "play", "/tmp/bag"] and "--clock" in command
    overrides = Path(command[command.index("--qos-profile-overrides-path") + 1])
    assert "/driving_command:" in overrides.read_text()
