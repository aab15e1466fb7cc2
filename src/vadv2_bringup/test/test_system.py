"""The one description of the system: its topics are the nodes' topics, its processes start, and end together."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from vadv2_bringup.environment import (
    DEFAULTS,
    DISCOVERY_RANGE,
    LARGE_DATA,
    LOCAL_PROFILE,
    OWN_MIDDLEWARE,
    runtime_environment,
)
from vadv2_bringup.readiness import Readiness
from vadv2_bringup.supervisor import Supervisor, parameter_file
from vadv2_bringup.system import (
    CONFIG,
    NODE_CONFIGS,
    PACKAGES,
    TOPICS,
    SystemDescription,
    SystemOptions,
    describe_system,
    driver_for,
    load_interface,
)
from vadv2_core.config import from_mapping
from vadv2_core.errors import InputError

SOURCES = Path(__file__).resolve().parents[2]
RIG = str(CONFIG / "rig" / "surround6.yaml")


@pytest.mark.parametrize("node", TOPICS)
def test_topics_are_those_of_the_node(node: str) -> None:
    source = (SOURCES / PACKAGES[node] / PACKAGES[node] / f"{node}_node.py").read_text()
    listened = set(re.findall(r'self\.listen\([^"]*"([a-z_]+)"', source))
    if node == "recorder":
        # It hears everything raw, by a table.
        from vadv2_bringup.recorder_node import HEARD

        listened = set(HEARD)
    if "EgoListener(" in source:
        listened |= {"odometry", "ego_state"}
    advertised = set(re.findall(r'self\.advertise\([^"]*"([a-z_/]+)"', source))
    assert {f"~/input/{t}" for t in listened} | {f"~/{t}" for t in advertised} == set(TOPICS[node])


def test_the_default_system() -> None:
    system = describe_system(options=SystemOptions(rig_file=RIG, namespace="ego"))
    assert [n.name for n in system.nodes] == ["perception", "vlm", "planner", "control"]
    perception = system.nodes[0]
    assert ("~/input/camera/back_left/image", "camera/back_left/image") in perception.remappings
    assert system.topic("trajectory") == "/ego/trajectory"
    control = from_mapping(NODE_CONFIGS["control"], _own(system, "control"))
    assert not control.controller.drive.engage_automatically


def _own(system: SystemDescription, name: str) -> dict[str, object]:
    node = next(n for n in system.nodes if n.name == name)
    return {k: v for k, v in node.parameters.items() if k not in ("autostart", "use_sim_time")}


@pytest.mark.parametrize(
    ("model", "planner", "reasons"), [("minimal", "minimal", False), ("tiny", "truncated_diffusion", True)]
)
def test_a_model_chooses_nodes_and_parameters(model: str, planner: str, reasons: bool) -> None:
    system = describe_system(driver_for(model), SystemOptions(rig_file=RIG, commander=True, in_step=True))
    names = [n.name for n in system.nodes]
    assert ("vlm" in names) == reasons and "commander" in names
    assert from_mapping(NODE_CONFIGS["planner"], _own(system, "planner")).planner.planner == planner
    assert from_mapping(NODE_CONFIGS["planner"], _own(system, "planner")).wait_for_reasoning == (
        120.0 if reasons else 0.0
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (SystemOptions(interface="hovercraft"), "interface 'hovercraft' is not there"),
        (SystemOptions(params_file="/nowhere.yaml"), "/nowhere.yaml: is not there"),
        (SystemOptions(rig_file="/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
        (SystemOptions(vehicle="hovercraft"), "hovercraft.yaml: cannot be read"),
    ],
)
def test_what_is_not_there_is_named(options: SystemOptions, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        describe_system(options=options)


@pytest.mark.parametrize("path", sorted((CONFIG / "interface").glob("*.yaml")), ids=lambda p: p.stem)
def test_an_interface_names_public_topics(path: Path) -> None:
    interface = load_interface(path.stem)
    public = {name for topics in TOPICS.values() for name in topics.values()}
    cameras = {t for t in interface.topics if t.startswith("camera/")}
    assert set(interface.topics) - cameras <= public
    assert all(re.fullmatch(r"camera/[a-z_]+/(image(/compressed)?|camera_info)", t) for t in cameras)


def test_an_interface_with_another_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("topic: {}\n")
    with pytest.raises(InputError, match="unknown key 'topic'"):
        load_interface("odd", tmp_path)


def test_parameters_survive_their_file(tmp_path: Path) -> None:
    system = describe_system(options=SystemOptions(rig_file=RIG))
    written = yaml.safe_load(parameter_file(system.nodes[0], tmp_path).read_text())
    assert written["/**"]["ros__parameters"]["rig_file"] == RIG


def test_the_environment_is_the_users_own_where_he_set_it() -> None:
    made = runtime_environment({"OMP_WAIT_POLICY": "ACTIVE", "PATH": "/bin"})
    assert made["OMP_WAIT_POLICY"] == "ACTIVE"
    assert set(DEFAULTS) <= set(made)
    # Once more, as a process of ours that starts another does: nothing changes.
    assert runtime_environment(made) == made


@pytest.mark.parametrize("given", [{}, {DISCOVERY_RANGE: "LOCALHOST"}])
def test_nodes_stay_on_this_machine(given: dict[str, str]) -> None:
    made = runtime_environment(given)
    assert made["FASTDDS_DEFAULT_PROFILES_FILE"] == str(LOCAL_PROFILE)
    assert made[DISCOVERY_RANGE] == "SUBNET" and "FASTDDS_BUILTIN_TRANSPORTS" not in made
    addresses = re.findall(r"<address>(.*?)</address>", LOCAL_PROFILE.read_text())
    assert set(addresses) == {"127.0.0.1", "239.255.0.1"} and "interfaceWhiteList" in LOCAL_PROFILE.read_text()


@pytest.mark.parametrize("given", [{DISCOVERY_RANGE: "SUBNET"}, {"ROS_STATIC_PEERS": "10.0.0.7"}])
def test_others_are_reached_where_they_are_asked_for(given: dict[str, str]) -> None:
    made = runtime_environment(given)
    assert made["FASTDDS_BUILTIN_TRANSPORTS"] == LARGE_DATA and made[DISCOVERY_RANGE] == "SUBNET"
    assert "FASTDDS_DEFAULT_PROFILES_FILE" not in made


@pytest.mark.parametrize("name", [*OWN_MIDDLEWARE, DISCOVERY_RANGE])
def test_a_network_of_the_users_own_is_left_alone(name: str) -> None:
    given = {name: "OFF" if name == DISCOVERY_RANGE else "mine"}
    made = runtime_environment(given)
    assert {n: made.get(n) for n in (*OWN_MIDDLEWARE, DISCOVERY_RANGE) if n in made} == given


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_processes_get_the_environment_and_end_together() -> None:
    full = describe_system(options=SystemOptions(rig_file=RIG, commander=True))
    light = tuple(n for n in full.nodes if n.name in ("control", "commander"))
    lines: list[str] = []
    with Supervisor(replace(full, nodes=light), lines.append) as supervisor:
        pids = supervisor.pids
        name = "FASTDDS_DEFAULT_PROFILES_FILE"
        entry = f"{name}={os.environ[name]}".encode()
        # between fork and exec a child has no environment to read yet
        wait_for(lambda: entry in Path(f"/proc/{pids['control']}/environ").read_bytes().split(b"\0"))
        os.kill(pids["commander"], signal.SIGKILL)
        wait_for(lambda: supervisor.ended())
        assert supervisor.ended() == {"commander": -9}
        assert lines.count("[commander] ended with status -9") == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_a_parameter_out_of_range_ends_its_node_with_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("control:\n  ros__parameters:\n    controller:\n      period: 7.0\n")
    full = describe_system(options=SystemOptions(rig_file=RIG, params_file=str(wrong)))
    lines: list[str] = []
    with Supervisor(replace(full, nodes=(full.nodes[-1],)), lines.append) as supervisor:
        wait_for(supervisor.ended)
        assert supervisor.ended() == {"control": 2}
    said = [line for line in lines if "period" in line]
    assert said == ["[control] control parameter 'controller.period': value 7.0 (expected 0.005 .. 0.2 s)"]


class _Status:
    def __init__(self, name: str, message: str, **values: object) -> None:
        self.name, self.message = f"ego/{name}: driving", message
        self.values = [type("KeyValue", (), {"key": k, "value": str(v)}) for k, v in values.items()]


def test_readiness_names_what_is_missing() -> None:
    full = describe_system(options=SystemOptions(rig_file=RIG))
    readiness = Readiness(replace(full, nodes=full.nodes[2:]))
    assert readiness.missing() == ["planner is not heard", "control is not heard"]

    def hear(*statuses: _Status) -> None:
        readiness.hear(type("DiagnosticArray", (), {"status": statuses}))

    planner = {"lifecycle": "active", "out.output/trajectory_candidates": 1, "in.route": 0}
    hear(_Status("planner", "ok", **planner), _Status("control", "gone: no such model", lifecycle="unconfigured"))
    assert readiness.missing() == ["control is unconfigured: gone: no such model"]
    hear(_Status("control", "ok", lifecycle="active", **{"in.trajectory_candidates": 0, "in.odometry": 1}))
    assert readiness.missing() == ["control does not hear trajectory_candidates"]
    hear(_Status("control", "ok", lifecycle="active", **{"in.trajectory_candidates": 1, "in.odometry": 0}))
    assert readiness.missing() == []
    assert readiness.silent_inputs() == ["control: odometry", "planner: route"]
