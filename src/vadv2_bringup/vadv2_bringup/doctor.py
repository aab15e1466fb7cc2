"""Readiness in words: what is there, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vadv2_bringup.environment import (
    DISCOVERY_RANGE,
    LARGE_DATA,
    LOCAL_PROFILE,
    OWN_MIDDLEWARE,
    WORKSPACE,
    sources_distribution,
)
from vadv2_bringup.readiness import Readiness
from vadv2_bringup.system import (
    COMMAND_PACKAGES,
    SystemDescription,
    SystemOptions,
    describe_system,
    driver_for,
    load_interface,
)
from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_core.checkpoint import CONFIG_NAME
from vadv2_core.errors import EXIT_BAD_INPUT, InputError
from vadv2_core.files import read_json, sha256_of, write_json_atomic

_RIG = WORKSPACE / "config" / "rig" / "surround6.yaml"
_KINDS = {"perception": "perception", "vlm": "vlm", "planner": "planner"}


class Verdict(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        about: What was looked at.
        verdict: MISSING keeps the system from driving; a NOTE does not.
        words: What was found.
        mend: The command or step that changes it; empty where nothing is to be done.
    """

    about: str
    verdict: Verdict
    words: str
    mend: str = ""


def examine(model: str, models: Path, interface: str, namespace: str, seconds: float) -> list[Finding]:
    """Look at everything.

    Args:
        model: Size of the system or folder below models.
        models: Directory of model directories.
        interface: Of the vehicle or simulator.
        namespace: Of the nodes and topics.
        seconds: How long to listen; 0 does not.

    Raises:
        InputError: for an interface or model that is not known.
    """
    driver = driver_for(model, str(models))
    options = SystemOptions(interface=interface, namespace=namespace, rig_file=str(_RIG))
    system = describe_system(driver, options)
    findings = [*_machine(), *_ros(interface), *_models(model, models, driver.reasons)]
    can_listen = not any(f.about == "rclpy" and f.verdict is Verdict.MISSING for f in findings)
    if seconds > 0.0 and can_listen:
        findings += _listen(system, seconds)
    return findings


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "version unknown"


def _machine() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    words = f"{platform.machine()}, {os.cpu_count()} cores, {memory.available / 2**30:.1f} GiB of memory free"
    enough = memory.available > 3 * 2**30
    yield Finding("machine", Verdict.OK if enough else Verdict.NOTE, words, "" if enough else "free at least 3 GiB")
    if importlib.util.find_spec("torch") is None:
        yield Finding("torch", Verdict.MISSING, "is not installed", "make setup")
        return
    import torch

    devices = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU: runs on the processor"
    yield Finding("torch", Verdict.OK, f"{torch.__version__}, {devices}")
    for name in ("transformers", "openvino", "onnxruntime"):
        there = importlib.util.find_spec(name) is not None
        words = _version(name) if there else "is not installed"
        yield Finding(name, Verdict.OK if there else Verdict.NOTE, words, "" if there else "make setup")


def _ros(interface: str) -> Iterator[Finding]:
    source = os.environ["ROS_DISTRO"] if sources_distribution(os.environ) else "wheels in .venv"
    for module, about in (("rclpy", "rclpy"), ("vadv2_msgs", "messages")):
        there = importlib.util.find_spec(module) is not None
        words = f"of {source}" if there else "cannot be imported"
        yield Finding(about, Verdict.OK if there else Verdict.MISSING, words, "" if there else "make setup")
    optional = {
        "launch_ros": "ros2 launch; ./vadv2 run starts the same nodes without it",
        "tf2_msgs": "calibration from /tf_static; a rig file says it without",
        "cv_bridge": "rare image encodings",
    }
    needed = {name: f"interface {interface}" for name in COMMAND_PACKAGES.get(load_interface(interface).command, ())}
    for name, use in {**optional, **needed}.items():
        if importlib.util.find_spec(name) is None:
            package = f"apt-get install ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-{name.replace('_', '-')}"
            mend = package if sources_distribution(os.environ) else f"source a ROS 2 distribution with it ({package})"
            verdict = Verdict.MISSING if name in needed else Verdict.NOTE
            yield Finding(name, verdict, f"is not here; it is for {use}", mend)
    yield network_finding(os.environ)
    yield Finding("domain", Verdict.OK, f"ROS_DOMAIN_ID {os.environ.get('ROS_DOMAIN_ID', '0')}")
    if shutil.which("rviz2") is None:
        yield Finding("rviz2", Verdict.NOTE, "is not here", "open config/view/vadv2.json in Foxglove instead")


_JOIN = f"export FASTDDS_DEFAULT_PROFILES_FILE={LOCAL_PROFILE} {DISCOVERY_RANGE}=SUBNET"
"""What puts another process of this machine on the same transports."""


def network_finding(environment: Mapping[str, str]) -> Finding:
    """Who can talk to the nodes under these variables, and whether six cameras arrive."""
    profile = environment.get("FASTDDS_DEFAULT_PROFILES_FILE", "")
    own = [name for name in OWN_MIDDLEWARE if environment.get(name)]
    if not own:
        words = "Fast DDS's own transports: a quarter of the images is lost, and the whole network can talk to us"
        return Finding("network", Verdict.MISSING, words, _JOIN)
    if environment.get(DISCOVERY_RANGE, "") == "LOCALHOST" and environment.get("RMW_IMPLEMENTATION", "fast") < "rmw_g":
        words = (
            f"{DISCOVERY_RANGE}=LOCALHOST puts transports that lose images in the place of those of {', '.join(own)}"
        )
        return Finding("network", Verdict.MISSING, words, f"unset {' '.join(own)}, or {_JOIN}")
    if profile == str(LOCAL_PROFILE):
        return Finding("network", Verdict.OK, f"this machine alone; others: export {DISCOVERY_RANGE}=SUBNET")
    if environment.get("FASTDDS_BUILTIN_TRANSPORTS") == LARGE_DATA:
        words = "every machine of the network with this ROS_DOMAIN_ID can talk to the nodes"
        return Finding("network", Verdict.NOTE, words, f"unset {DISCOVERY_RANGE} to stay on this machine, or SROS 2")
    return Finding("network", Verdict.NOTE, f"your own: {', '.join(f'{n}={environment[n]}' for n in own)}")


def _models(model: str, models: Path, reasons: bool) -> Iterator[Finding]:
    root = models / model
    for stage, kind in _KINDS.items():
        about = f"model {stage}"
        if stage == "vlm" and not reasons:
            yield Finding(about, Verdict.OK, f"{model} drives without one")
            continue
        directory = root / stage
        if not directory.is_dir():
            words = f"{directory} is not there: untrained weights are made, and the drive is DEGRADED"
            yield Finding(about, Verdict.NOTE, words, f"put a checkpoint into {directory}")
            continue
        try:
            words = _checked(directory, kind)
            yield Finding(about, Verdict.OK, words)
        except InputError as error:
            yield Finding(about, Verdict.MISSING, str(error), f"git checkout -- {directory}, or train it anew")


def _checked(directory: Path, kind: str) -> str:
    header = read_json(directory / CONFIG_NAME)
    for key in ("kind", "model_id", "sha256"):
        if not isinstance(header, dict) or key not in header:
            raise InputError(f"no {key!r}", str(directory / CONFIG_NAME), "a model's config.json")
    if header["kind"] != kind:
        raise InputError(f"is a {header['kind']!r} model", str(directory), f"kind {kind!r}")
    weights = directory / "model.safetensors"
    if not weights.is_file():
        raise InputError("is not there", str(weights), "the model's weights")
    found = sha256_of(weights)
    if found != header["sha256"]:
        raise InputError(f"SHA-256 is {found[:12]}…", str(weights), f"{header['sha256'][:12]}…")
    return f"{header['model_id']}, {weights.stat().st_size / 2**20:.1f} MiB, checksum right"


def _listen(system: SystemDescription, seconds: float) -> list[Finding]:
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from nav_msgs.msg import Odometry
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import CompressedImage, Image
    from vadv2_msgs.msg import DrivingCommand

    from vadv2_ros import qos

    interface = load_interface(system.options.interface)
    heard: Counter[str] = Counter()
    readiness = Readiness(system)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("vadv2_doctor", context=context)
    topics: dict[str, tuple[type, Any]] = {"odometry": (Odometry, qos.ODOMETRY)}
    for camera in SURROUND_CAMERAS:
        topics[f"camera/{camera}/image"] = (Image, qos.IMAGE)
        topics[f"camera/{camera}/image/compressed"] = (CompressedImage, qos.IMAGE)
    topics["driving_command"] = (DrivingCommand, qos.LATCHED)
    for public, (kind, profile) in topics.items():
        name = system.topic(interface.topics.get(public, public))
        node.create_subscription(kind, name, lambda _, p=public: heard.update([p]), profile)
    node.create_subscription(DiagnosticArray, "/diagnostics", readiness.hear, 20)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    unheard = [
        public
        for public in topics
        if not heard[public] and node.count_publishers(system.topic(interface.topics.get(public, public)))
    ]
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)
    return [*_inputs(heard, seconds), *unheard_findings(unheard), *_nodes(system, readiness)]


def _inputs(heard: Counter[str], seconds: float) -> Iterator[Finding]:
    silent = []
    for camera in SURROUND_CAMERAS:
        raw, compressed = heard[f"camera/{camera}/image"], heard[f"camera/{camera}/image/compressed"]
        if raw or compressed:
            form = "raw" if raw else "compressed"
            rate = (raw or compressed) / seconds
            yield Finding(f"camera {camera}", Verdict.OK, f"{rate:.1f} Hz, {form}")
        else:
            silent.append(camera)
    if silent:
        words = f"nothing from {', '.join(silent)} in {seconds:g} s"
        yield Finding(
            "cameras", Verdict.NOTE, words, "start the vehicle or simulator; name its topics in config/interface"
        )
    if heard["odometry"]:
        yield Finding("odometry", Verdict.OK, f"{heard['odometry'] / seconds:.1f} Hz")
    else:
        yield Finding("odometry", Verdict.NOTE, f"nothing in {seconds:g} s", "start the localiser")
    if not heard["driving_command"]:
        yield Finding(
            "driving command", Verdict.NOTE, "none was said", "publish one, or ./vadv2 run --commander with a route"
        )


def unheard_findings(topics: list[str]) -> Iterator[Finding]:
    """Topics that somebody publishes on, and of which nothing arrives: their process uses other transports."""
    if topics:
        first = ", ".join(topics[:3]) + (" and others" if len(topics) > 3 else "")
        words = f"{first}: published, and nothing arrives: that process cannot reach our memory, or sends nothing"
        mend = f"in a container: --ipc host --net host; before starting that process: {_JOIN}"
        yield Finding("transport", Verdict.MISSING, words, mend)


def _nodes(system: SystemDescription, readiness: Readiness) -> Iterator[Finding]:
    missing = readiness.missing()
    if all(line.endswith("is not heard") for line in missing) and len(missing) == len(system.nodes):
        yield Finding("nodes", Verdict.NOTE, "none is running", "./vadv2 run")
        return
    for words in missing:
        yield Finding("nodes", Verdict.MISSING, words, "look at its output")
    for node in system.nodes:
        values = readiness.values(node.name)
        if values:
            rate = f", {values['rate_hz']} Hz" if "rate_hz" in values else ""
            words = f"{values.get('lifecycle')}{rate}: {readiness.message(node.name)}"
            yield Finding(f"node {node.name}", Verdict.OK, words)


def print_findings(findings: list[Finding], json_path: Path | None) -> int:
    """Print findings as a table, the missing last; also to a JSON file.

    Returns:
        Exit status: 0 where nothing is missing, else 2.
    """
    from rich.console import Console
    from rich.table import Table

    marks = {Verdict.OK: "[green]ok[/]", Verdict.NOTE: "[yellow]note[/]", Verdict.MISSING: "[red]missing[/]"}
    table = Table(box=None, pad_edge=False)
    for title in ("", "about", "found", "to mend it"):
        table.add_column(title, overflow="fold")
    order = {Verdict.OK: 0, Verdict.NOTE: 1, Verdict.MISSING: 2}
    for finding in sorted(findings, key=lambda f: order[f.verdict]):
        table.add_row(marks[finding.verdict], finding.about, finding.words, finding.mend)
    console = Console()
    # A pipe has no width; nothing is folded for it.
    (console if console.is_terminal else Console(width=200)).print(table)
    if json_path is not None:
        write_json_atomic(json_path, {"findings": [asdict(f) for f in findings]})
    return EXIT_BAD_INPUT if any(f.verdict is Verdict.MISSING for f in findings) else 0
