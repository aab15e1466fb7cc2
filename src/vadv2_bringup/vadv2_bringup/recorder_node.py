"""The ring recorder as a node: hears every public topic, cuts a clip at an emergency, a take-over, or when asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger
from vadv2_msgs import msg as messages

from vadv2_bringup.ring_recorder import RecorderConfig, RingRecorder
from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_core.drive import DriveState
from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_ros import qos
from vadv2_ros.conversions import drive_status_from_message
from vadv2_ros.diagnostics import Health, Level
from vadv2_ros.mounting import transforms_type
from vadv2_ros.node_process import run_node
from vadv2_ros.worker_node import WorkerNode

HEARD: dict[str, tuple[type, Any, bool]] = {
    "odometry": (Odometry, qos.ODOMETRY, False),
    "ego_state": (messages.EgoState, qos.ODOMETRY, False),
    "driving_command": (messages.DrivingCommand, qos.LATCHED, True),
    "route": (messages.Route, qos.LATCHED, True),
    "scene_tokens": (messages.SceneTokens, qos.STAGE, False),
    "reasoning": (messages.Reasoning, qos.STAGE, False),
    "trajectory_candidates": (messages.TrajectoryCandidates, qos.STAGE, False),
    "vehicle_command": (messages.VehicleCommand, qos.STAGE, False),
    "drive_status": (messages.DriveStatus, qos.STAGE, False),
}
"""Topics besides the cameras' by their input's name: type, QoS, and whether it is said once for all."""


class RecorderNode(WorkerNode[RecorderConfig, Stamp]):
    """`RingRecorder` as a lifecycle node; it publishes nothing but diagnostics."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("recorder", RecorderConfig, **arguments)

    def setup(self) -> None:
        """Subscribe to everything, raw."""
        self._recorder = RingRecorder(self.config)
        self._engaged = False
        self._state = DriveState.INIT
        for name, (kind, profile, latched) in HEARD.items():
            self._hear(name, kind, profile, latched)
        try:
            self._hear("/tf_static", transforms_type(), qos.LATCHED, True)
        except InputError:
            # Without tf2_msgs the rig comes from a file, and a clip of it is replayed with that file.
            self.get_logger().info("tf2_msgs is not installed: clips hold no mounting")
        for camera in SURROUND_CAMERAS:
            self._hear(f"camera/{camera}/image", Image, qos.IMAGE, False)
            self._hear(f"camera/{camera}/image/compressed", CompressedImage, qos.IMAGE, False)
            self._hear(f"camera/{camera}/camera_info", CameraInfo, qos.IMAGE, True)
        self.serve(Trigger, "trigger", self._on_trigger)

    def _hear(self, name: str, kind: type, profile: Any, latched: bool) -> None:
        topic = name if name.startswith("/") else self.resolve_topic_name(f"~/input/{name}")
        type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        watches: Callable[[bytes], None] | None = self._on_status if name == "drive_status" else None

        def receive(data: bytes) -> None:
            self._recorder.push(topic, type_name, bytes(data), self.now(), latched=latched)
            if watches is not None:
                watches(data)

        self.listen(kind, name, receive, profile, raw=True)

    def _on_status(self, data: bytes) -> None:
        status = drive_status_from_message(deserialize_message(data, messages.DriveStatus))
        if status.state is DriveState.EMERGENCY and self._state is not DriveState.EMERGENCY:
            self._recorder.cut(f"emergency: {status.cause}", self.now())
        if self._engaged and not status.engaged:
            self._recorder.cut(f"disengaged: {status.cause}", self.now())
        self._engaged, self._state = status.engaged, status.state

    def _on_trigger(self, _: Any, response: Any) -> Any:
        self._recorder.cut("asked for", self.now())
        response.success, response.message = True, f"a clip is cut {self.config.after:g} s from now"
        return response

    def work(self, item: Stamp) -> None:
        """Nothing to answer: what is heard is kept where it is received."""

    def forget(self) -> None:
        """Write what is waited for; the ring itself is let go."""
        self._recorder.finish()

    def describe(self, health: Health) -> None:
        """Clips written, and why one was not."""
        recorder = getattr(self, "_recorder", None)
        if recorder is None:
            return
        health.values.update(clips=len(recorder.written), failures=len(recorder.failures))
        if recorder.failures:
            health.note(Level.WARN, recorder.failures[-1])


def main() -> int:
    """The process of the node."""
    return run_node(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
