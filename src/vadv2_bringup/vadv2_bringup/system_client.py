"""A client of the running nodes that knows them by their topics only: sends inputs, keeps what is answered."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import rclpy
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from vadv2_msgs import msg as messages
from visualization_msgs.msg import MarkerArray

from vadv2_bringup.bag_writer import BagWriter
from vadv2_bringup.readiness import listen_for_readiness
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import SystemDescription
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_driver.output import DriverOutput
from vadv2_ros import conversions, qos
from vadv2_ros.fields import time_from_stamp
from vadv2_ros.standard_messages import odometry_from_ego_state

_ALL = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
_READ: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "scene_tokens": (messages.SceneTokens, conversions.scene_tokens_from_message),
    "reasoning_embedding": (messages.ReasoningEmbedding, conversions.embedding_from_message),
    "reasoning": (messages.Reasoning, conversions.reasoning_from_message),
    "trajectory_candidates": (messages.TrajectoryCandidates, conversions.candidates_from_message),
    "trajectory": (messages.Trajectory, conversions.trajectory_from_message),
    "vehicle_command": (messages.VehicleCommand, conversions.vehicle_command_from_message),
    "drive_status": (messages.DriveStatus, conversions.drive_status_from_message),
}
_KEPT: dict[str, tuple[type, str]] = {
    "reasoning_text": (String, "std_msgs/msg/String"),
    "path": (PathMessage, "nav_msgs/msg/Path"),
    "markers": (MarkerArray, "visualization_msgs/msg/MarkerArray"),
}
_KEPT_FRAMES = 64


_CONNECTED_WITHIN = 20.0
"""Seconds after which active nodes that do not hear each other never will."""


class UnconnectedError(InputError):
    """Every node is active, and DDS connected some of them not: starting again helps."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A received output and when it came (wall clock, s)."""

    value: Any
    at: float


def remark(lines: deque[str]) -> str:
    """The last thing a failing node said, without time and name."""
    said = [line for line in lines if "ended with status" not in line]
    for line in reversed(said):
        if "[ERROR]" in line or "rror:" in line:
            return line.rpartition("]: ")[2].partition("] ")[2] or line.rpartition("]: ")[2]
    return said[-1].partition("] ")[2] if said else "it said nothing"


class SystemClient:
    """Publishes what a vehicle would and collects every output by stamp.

    Args:
        system: The nodes that run.
        domain: ROS domain they run in.
        supervisor: Who runs them; watched so that a node that ends is named.
        compressed: Images are sent as ``CompressedImage``.
        bag: Where outputs are kept as they are received.
        lines: The nodes' output, newest last.
    """

    def __init__(
        self,
        system: SystemDescription,
        domain: int,
        supervisor: Supervisor,
        *,
        compressed: bool,
        bag: BagWriter,
        lines: deque[str],
    ) -> None:
        self.system, self._supervisor, self._bag, self._lines = system, supervisor, bag, lines
        self.answers: dict[str, dict[Stamp, Answer]] = defaultdict(dict)
        self.bag_time: Stamp = 0
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = Node("replay", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        perception = next(n for n in system.nodes if n.name == "perception")
        self._images = {}
        for private, public in perception.remappings:
            if private.startswith("~/input/camera/") and private.endswith(f"/image{suffix}"):
                self._images[private.split("/")[3]] = self._publisher(kind, public, qos.IMAGE)
        self._ego = self._publisher(messages.EgoState, "ego_state", qos.ODOMETRY)
        self._odometry = self._publisher(Odometry, "odometry", qos.ODOMETRY)
        self._command = self._publisher(messages.DrivingCommand, "driving_command", qos.LATCHED)
        self._route = self._publisher(messages.Route, "route", qos.LATCHED)
        self._clock = self._node.create_publisher(Clock, "/clock", 10)
        self._said: tuple[DrivingCommand | None, Route | None] = (None, None)
        for name, (kind, convert) in _READ.items():
            self._subscribe(name, kind, convert)
        for name, (kind, type_name) in _KEPT.items():
            self._keep(name, kind, type_name)
        self._readiness = listen_for_readiness(self._node, system)

    def __enter__(self) -> SystemClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _publisher(self, kind: type, public: str, profile: QoSProfile) -> Any:
        return self._node.create_publisher(kind, self.system.topic(public), profile)

    def _subscribe(self, name: str, kind: Any, convert: Callable[[Any], Any]) -> None:
        type_name = f"vadv2_msgs/msg/{kind.__name__}"
        topic = self.system.topic(name)

        def receive(data: bytes) -> None:
            value = convert(deserialize_message(data, kind))
            table = self.answers[name]
            stamp = value.stamp
            if name == "vehicle_command" and not self.system.options.in_step:
                # A plan is acted on more than once; the first command that follows it answers its frame. In step each
                # frame has its own command, also one whose plan was refused and that follows an older one.
                stamp = value.trajectory_stamp or value.stamp
            table.setdefault(stamp, Answer(value, time.perf_counter()))
            self._bag.write_serialized(topic, type_name, data, max(value.stamp, 0))

        self._node.create_subscription(kind, topic, receive, _ALL, raw=True)

    def _keep(self, name: str, kind: Any, type_name: str) -> None:
        topic = self.system.topic(name)
        self._node.create_subscription(
            kind, topic, lambda data: self._bag.write_serialized(topic, type_name, data, self.bag_time), _ALL, raw=True
        )

    def spin(self, seconds: float = 0.02) -> None:
        """Hear what has come; wait at most so long for something."""
        self._executor.spin_once(timeout_sec=seconds)

    def _watch(self) -> None:
        for name, status in self._supervisor.ended().items():
            mine = deque(line for line in self._lines if line.startswith(f"[{name}]"))
            raise InputError(f"{name} ended with status {status}: {remark(mine)}", "nodes", "a running node")

    def wait(self, condition: Callable[[], bool], timeout: float, what: Callable[[], str]) -> None:
        """Spin until a condition holds.

        Raises:
            InputError: where it does not in time, or a node ends.
        """
        end = time.monotonic() + timeout
        while not condition():
            self._watch()
            if time.monotonic() > end:
                raise InputError(what(), "nodes", f"within {timeout:.0f} s (--timeout)")
            self.spin()

    def wait_until_ready(self, timeout: float) -> None:
        """Wait for active, connected nodes.

        Raises:
            UnconnectedError: where all are active and still do not hear each other.
            InputError: naming what is missing.
        """
        active_since: float | None = None

        def ready() -> bool:
            nonlocal active_since
            lacking = self._readiness.missing()
            heard = all(p.get_subscription_count() for p in (*self._images.values(), self._command))
            both = self._ego.get_subscription_count() >= 2 and self._odometry.get_subscription_count() >= 2
            if not lacking and heard and both:
                return True
            nodes = [self._readiness.values(n.name).get("lifecycle") for n in self.system.nodes]
            if any(state != "active" for state in nodes):
                active_since = None
            elif active_since is None:
                active_since = time.monotonic()
            elif time.monotonic() - active_since > _CONNECTED_WITHIN:
                raise UnconnectedError("; ".join(lacking) or "inputs are not connected", "nodes", "connected topics")
            return False

        self.wait(
            ready,
            timeout,
            lambda: "not ready: " + ("; ".join(self._readiness.missing()) or "inputs are not connected"),
        )

    def send_ego(self, ego: EgoState) -> None:
        """The ego state at a frame's stamp, with acceleration (what a vehicle's CAN adapter sends)."""
        self._ego.publish(conversions.ego_state_to_message(ego))

    def send_odometry(self, ego: EgoState) -> None:
        """A state as odometry."""
        self._odometry.publish(odometry_from_ego_state(ego))

    def send_intent(self, command: DrivingCommand, route: Route | None) -> None:
        """Command and route, where they are new."""
        if command != self._said[0]:
            self._command.publish(conversions.driving_command_to_message(command))
        if route is not None and route is not self._said[1]:
            self._route.publish(conversions.route_to_message(route))
        self._said = (command, route)

    def send_image(self, camera: str, data: bytes) -> None:
        """A serialized image message."""
        if camera in self._images:
            self._images[camera].publish(data)

    def send_clock(self, stamp: Stamp) -> None:
        """Simulated time."""
        self._clock.publish(Clock(clock=time_from_stamp(stamp)))

    def output(self, stamp: Stamp, sent: float) -> DriverOutput | None:
        """What was answered to a frame; None where plan or command are missing.

        Stage timings are from when a stage's last input was heard here to when its answer was, transport included.
        """
        found = {name: table.get(stamp) for name, table in self.answers.items()}
        plan, command, status = (found.get(n) for n in ("trajectory_candidates", "vehicle_command", "drive_status"))
        if plan is None or command is None:
            return None
        tokens, embedding, reasoning = (found.get(n) for n in ("scene_tokens", "reasoning_embedding", "reasoning"))
        if status is None:
            status = self._status_for(command.value.stamp)
        timings = {}
        if tokens is not None:
            timings["perception"] = tokens.at - sent
            spoken = [a.at for a in (embedding, reasoning) if a is not None]
            if spoken:
                timings["vlm"] = max(spoken) - tokens.at
            # In real time the planner does not wait: an embedding that came after the plan was not in it.
            waited = embedding is not None and embedding.at <= plan.at
            timings["planner"] = plan.at - (embedding.at if embedding and waited else tokens.at)
        timings["control"] = command.at - plan.at
        timings = {stage: max(1e3 * seconds, 0.0) for stage, seconds in timings.items()}
        return DriverOutput(
            stamp,
            tokens.value if tokens else None,
            embedding.value if embedding else None,
            reasoning.value if reasoning else None,
            plan.value,
            command.value,
            replace(status.value, timings={**status.value.timings, **timings}),
            timings,
        )

    def _status_for(self, stamp: Stamp) -> Answer:
        table = self.answers["drive_status"]
        return table[stamp] if stamp in table else table[min(table, key=lambda s: abs(s - stamp))]

    def forget_before(self, stamp: Stamp) -> None:
        """Drop answers that are not needed any more."""
        for table in self.answers.values():
            for old in [s for s in table if s < stamp]:
                del table[old]
