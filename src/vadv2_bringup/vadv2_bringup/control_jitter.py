"""How regularly control speaks while the machine is busy: the node alone, odometry and plans from here."""

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
from vadv2_msgs import msg as messages

from vadv2_bringup.replay_over_topics import own_domain
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemOptions, describe_system, driver_for
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_ros import qos
from vadv2_ros.conversions import candidates_to_message, ego_state_to_message

SPEED = 5.0
BINS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, float("inf"))
"""Edges of the histogram, ms."""
_READY_WITHIN = 60.0
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
        self.arrivals: list[float] = []
        self.engaged = False
        self._start, self._ticks = time.time_ns(), 0
        node.create_timer(0.02, self._tick)

    def _on_command(self, _: messages.VehicleCommand, info: dict[str, int]) -> None:
        # A command's own stamp is its odometry's; DDS says when control gave it away.
        self.stamps.append(int(info["source_timestamp"]))
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


def deviations(stamps: list[int], period: float) -> Array:
    """|interval - period| of consecutive stamps (ns), in ms."""
    return np.asarray(np.abs(np.diff(np.array(stamps, dtype=np.int64)) * 1e-6 - 1e3 * period))


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
    seconds: float, busy: int, priority: int, progress: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Run control alone, drive it straight on, and measure the intervals between its commands.

    Args:
        seconds: How long is measured.
        busy: Processes that keep a core busy meanwhile.
        priority: The node's `realtime_priority`.
        progress: Called about once a second.

    Returns:
        ``loop``: deviation of the control loop from its period by when it published (DDS source timestamps);
        ``arrival``: the same where commands are received, this process's own delays included; period, load and cores.

    Raises:
        InputError: where control does not come up or says too little.
    """
    system = describe_system(
        driver_for("tiny", settings={"control.drive.engage_automatically": True}),
        SystemOptions(rig_file=str(CONFIG / "rig" / "surround6.yaml")),
    )
    control = next(n for n in system.nodes if n.name == "control")
    control = replace(control, parameters={**control.parameters, "realtime_priority": priority})
    period = system_period(control.parameters)
    domain, lines = own_domain(), deque[str](maxlen=50)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node("control_bench", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    feeder = _Feeder(node)

    def spin_until(end: float, done: Callable[[], bool] = lambda: False) -> None:
        said = time.monotonic()
        while time.monotonic() < end and not done():
            executor.spin_once(timeout_sec=0.05)
            if time.monotonic() - said >= 1.0:
                said = time.monotonic()
                progress()

    try:
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        with Supervisor(replace(system, nodes=(control,)), lines.append, environment):
            spin_until(time.monotonic() + _READY_WITHIN, lambda: feeder.engaged)
            if not feeder.engaged:
                raise InputError("control does not engage", "bench control", "; ".join(list(lines)[-2:]) or "commands")
            with busy_threads(busy):
                spin_until(time.monotonic() + 1.0)
                feeder.stamps.clear()
                feeder.arrivals.clear()
                spin_until(time.monotonic() + seconds)
            found = SimpleNamespace(stamps=list(feeder.stamps), arrivals=list(feeder.arrivals))
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
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "commands": len(found.stamps),
        "commands_expected": round(seconds / period),
        "loop": summary(deviations(found.stamps, period)),
        "arrival": summary(deviations([round(a * 1e9) for a in found.arrivals], period)),
    }


def system_period(parameters: dict[str, Any]) -> float:
    """The control period that the node runs with, s."""
    from vadv2_control.configuration import ControlConfig

    return float(parameters.get("controller.period", ControlConfig().period))
