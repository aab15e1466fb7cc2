"""How regularly control speaks while the machine is busy: alone or among all nodes; its inputs come from here."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vadv2_msgs import msg as messages

from vadv2_bringup.readiness import Readiness, listen_for_readiness
from vadv2_bringup.replay_over_topics import own_domain
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemDescription, SystemOptions, describe_system, driver_for
from vadv2_core.camera import load_rig
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_ros import qos
from vadv2_ros.conversions import candidates_to_message, ego_state_to_message
from vadv2_ros.images import image_from_rgb

SPEED = 5.0
BINS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, float("inf"))
"""Edges of the histogram, ms."""
RIG = CONFIG / "rig" / "surround6.yaml"
_READY_WITHIN = 120.0
_ALL = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.RELIABLE)
"""Every command is wanted here, also those said while this process had no core."""


@contextmanager
def busy_threads(count: int) -> Iterator[None]:
    """Processes that each keep one core busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


class _Feeder:
    """Drives straight on at 5 m/s, says so fifty times a second and plans on ten times a second."""

    def __init__(self, node: Node) -> None:
        self._egos = node.create_publisher(messages.EgoState, "/ego_state", qos.ODOMETRY)
        self._plans = node.create_publisher(messages.TrajectoryCandidates, "/trajectory_candidates", qos.STAGE)
        node.create_subscription(messages.VehicleCommand, "/vehicle_command", self._on_command, _ALL)
        node.create_subscription(messages.DriveStatus, "/drive_status", self._on_status, qos.STAGE)
        self.stamps: list[int] = []
        self.numbers: list[int] = []
        self.arrivals: list[float] = []
        self.engaged = False
        self._start, self._ticks = time.time_ns(), 0
        node.create_timer(0.02, self._tick)

    def _on_command(self, _: messages.VehicleCommand, info: Any) -> None:
        # A command's own stamp is its odometry's; DDS says when control gave it away.
        self.stamps.append(int(info["source_timestamp"]))
        self.numbers.append(int(info["publication_sequence_number"]))
        self.arrivals.append(time.monotonic())

    def _on_status(self, message: messages.DriveStatus) -> None:
        self.engaged = bool(message.engaged)

    def _tick(self) -> None:
        now = time.time_ns()
        pose = Pose2(SPEED * (now - self._start) * 1e-9, 0.0, 0.0)
        self._egos.publish(ego_state_to_message(EgoState(now, pose, (SPEED, 0.0), (0.0, 0.0), 0.0, 0.0)))
        self._ticks += 1
        if self._ticks % 5 == 0:
            t = np.arange(1, 81) * 0.1
            points = np.column_stack([t, SPEED * t, 0 * t, 0 * t, 0 * t + SPEED, 0 * t])[None]
            self._plans.publish(
                candidates_to_message(
                    TrajectoryCandidates(now, pose, points, np.ones(1), 0, "", "", "as_intended", 2, {}, (), "bench")
                )
            )


class _Cameras:
    """Six cameras of noise at 10 Hz, so that perception, VLM and planner have what they have on a drive."""

    def __init__(self, node: Node) -> None:
        self._rig = load_rig(RIG)
        self._outputs = [node.create_publisher(Image, f"/camera/{n}/image", qos.IMAGE) for n in self._rig.names]
        rng = np.random.default_rng(0)
        self._images = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in self._rig.cameras]
        self._shown = 0
        node.create_timer(0.1, self._show)

    def _show(self) -> None:
        now = time.time_ns()
        self._shown += 1
        for output, camera, image in zip(self._outputs, self._rig.cameras, self._images, strict=True):
            # Not the same picture twice: that is a frozen camera.
            output.publish(image_from_rgb(np.roll(image, self._shown, axis=1), now, camera.name))


def _measured_nodes(system: SystemDescription, whole: bool, priority: int) -> SystemDescription:
    """Control with its priority, and the others where they are asked for; the planner's plans go nowhere."""
    nodes = []
    for node in system.nodes:
        if node.name == "control":
            nodes.append(replace(node, parameters={**node.parameters, "realtime_priority": priority}))
        elif whole:
            renamed = tuple(
                (private, f"bench/{public}" if public == "trajectory_candidates" else public)
                for private, public in node.remappings
            )
            nodes.append(replace(node, remappings=renamed))
    return replace(system, nodes=tuple(nodes))


def deviations(stamps: list[int], period: float, numbers: list[int] | None = None) -> Array:
    """|interval - period| of consecutive stamps (ns), in ms.

    Args:
        stamps: When something was said.
        period: When it should have been, s.
        numbers: Of the messages, as their writer counts them: between two that came, others may have been lost on
            the way to a program that had no core. The interval then is held against so many periods.
    """
    passed = np.ones(max(len(stamps) - 1, 0)) if numbers is None else np.diff(np.array(numbers, dtype=np.int64))
    return np.asarray(np.abs(np.diff(np.array(stamps, dtype=np.int64)) * 1e-6 - 1e3 * period * passed))


def summary(values: Array) -> dict[str, Any]:
    """Percentiles and histogram of deviations in ms."""
    counts, _ = np.histogram(values, BINS)
    names = [f"{a:g}..{b:g}" for a, b in itertools.pairwise(BINS)]
    return {
        "intervals": len(values),
        "p50_ms": float(np.percentile(values, 50)),
        "p99_ms": float(np.percentile(values, 99)),
        "max_ms": float(values.max()),
        "histogram_ms": dict(zip(names, map(int, counts), strict=True)),
    }


def measure_jitter(
    seconds: float, busy: int, priority: int, progress: Callable[[], None] = lambda: None, *, whole: bool = False
) -> dict[str, Any]:
    """Drive control straight on, and measure the intervals between its commands.

    Args:
        seconds: How long is measured.
        busy: Processes that keep a core busy meanwhile.
        priority: The node's `realtime_priority`.
        progress: Called about once a second.
        whole: Perception, VLM and planner work beside it on six cameras at 10 Hz; otherwise control is alone.

    Returns:
        ``loop``: deviation of the control loop from its period by when it published (DDS source timestamps);
        ``arrival``: the same where commands are received, this process's own delays included; period, load and cores.

    Raises:
        InputError: where control does not come up or says too little.
    """
    system = describe_system(
        driver_for("tiny", settings={"control.drive.engage_automatically": True}),
        SystemOptions(rig_file=str(RIG)),
    )
    system = _measured_nodes(system, whole, priority)
    period = system_period(next(n for n in system.nodes if n.name == "control").parameters)
    domain, lines = own_domain(), deque[str](maxlen=50)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node("control_bench", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    feeder = _Feeder(node)
    if whole:
        _Cameras(node)
    readiness = listen_for_readiness(node, system)

    def spin_until(end: float, done: Callable[[], bool] = lambda: False) -> None:
        said = time.monotonic()
        while time.monotonic() < end and not done():
            executor.spin_once(timeout_sec=0.05)
            if time.monotonic() - said >= 1.0:
                said = time.monotonic()
                progress()

    try:
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        with Supervisor(system, lines.append, environment):
            spin_until(time.monotonic() + _READY_WITHIN, lambda: feeder.engaged and not lacking(readiness))
            if not feeder.engaged:
                raise InputError("control does not engage", "bench control", "; ".join(list(lines)[-2:]) or "commands")
            with busy_threads(busy):
                spin_until(time.monotonic() + 1.0)
                feeder.stamps.clear()
                feeder.numbers.clear()
                feeder.arrivals.clear()
                spin_until(time.monotonic() + seconds)
            nodes = {n.name: readiness.values(n.name).get("rate_hz", "0") for n in system.nodes}
            found = SimpleNamespace(**{n: list(getattr(feeder, n)) for n in ("stamps", "numbers", "arrivals")})
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
    if len(found.stamps) < 10:
        raise InputError(f"{len(found.stamps)} commands in {seconds:g} s", "bench control", "at least 10")
    return {
        "period_ms": 1e3 * period,
        "seconds": seconds,
        "busy_threads": busy,
        "realtime_priority": priority,
        "remarks": [line for line in lines if "priority" in line],
        "node_rates_hz": {name: float(rate) for name, rate in nodes.items()},
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "commands": found.numbers[-1] - found.numbers[0] + 1,
        "commands_heard": len(found.stamps),
        "commands_expected": round(seconds / period),
        "loop": summary(deviations(found.stamps, period, found.numbers)),
        "arrival": summary(deviations([round(a * 1e9) for a in found.arrivals], period)),
    }


def lacking(readiness: Readiness) -> list[str]:
    """What is missing among the nodes, but for the planner's plans, which go nowhere here."""
    return [words for words in readiness.missing() if "trajectory_candidates" not in words]


def system_period(parameters: dict[str, Any]) -> float:
    """The control period that the node runs with, s."""
    from vadv2_control.configuration import ControlConfig

    return float(parameters.get("controller.period", ControlConfig().period))
