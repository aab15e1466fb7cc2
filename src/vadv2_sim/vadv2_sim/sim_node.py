"""The city as a node: clock, images, odometry, CAN, command, route and truth out; vehicle command in."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from vadv2_msgs import msg as messages

from vadv2_core.drive import VehicleCommand
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_ros import conversions, qos
from vadv2_ros.camera_messages import info_from_camera, optical_frame
from vadv2_ros.diagnostics import Health, Level
from vadv2_ros.fields import time_from_stamp
from vadv2_ros.images import image_from_rgb
from vadv2_ros.node_process import run_node
from vadv2_ros.standard_messages import odometry_from_ego_state
from vadv2_ros.worker_node import WorkerNode
from vadv2_sim.drive_session import DriveFrame, DriveSession
from vadv2_sim.node_configuration import SimNodeConfig
from vadv2_sim.sumo_session import STEP

CLOCK_PERIOD = 0.02
"""Between two messages of /clock in real time, s."""


class SimNode(WorkerNode[SimNodeConfig, "VehicleCommand | str"]):
    """`DriveSession` as a lifecycle node.

    In step, the world waits for the command of the stamp it showed; in real time it goes on every 0.1 s with the newest
    one. World and renderer live in the worker thread.

    Args:
        on_frame: Called in the worker thread with each new frame and the command that led to it (None for the first).
    """

    def __init__(
        self, on_frame: Callable[[DriveFrame, VehicleCommand | None], None] | None = None, **arguments: Any
    ) -> None:
        super().__init__("sim", SimNodeConfig, **arguments)
        self._on_frame = on_frame
        self.session: DriveSession | None = None
        self.frame: DriveFrame | None = None
        self.last_words = ""
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    def setup(self) -> None:
        """Find town, scenario and rig, advertise, subscribe."""
        config = self.config
        self.session = DriveSession(config)
        self._command: VehicleCommand | None = None
        self._shown_at = time.monotonic()
        self._clock_output = self.create_publisher(ClockMessage, "/clock", qos.STAGE)
        self.until_cleanup(lambda: self.destroy_publisher(self._clock_output))
        names = self.session.rig.names if config.cameras else ()
        self._image_outputs = {n: self.advertise(Image, f"output/camera/{n}/image", qos.IMAGE) for n in names}
        self._info_outputs = {n: self.advertise(CameraInfo, f"output/camera/{n}/camera_info", qos.IMAGE) for n in names}
        self._odometry_output = self.advertise(Odometry, "output/odometry", qos.ODOMETRY)
        self._ego_output = self.advertise(messages.EgoState, "output/ego_state", qos.ODOMETRY)
        self._command_output = self.advertise(messages.DrivingCommand, "output/driving_command", qos.LATCHED)
        self._route_output = self.advertise(messages.Route, "output/route", qos.LATCHED)
        self._plan_output = self.advertise(messages.TrajectoryCandidates, "output/trajectory_candidates", qos.STAGE)
        self._truth_output = self.advertise(String, "truth/scene", qos.STAGE)
        self._said_output = self.advertise(messages.Reasoning, "truth/reasoning", qos.STAGE)
        self.listen(messages.VehicleCommand, "vehicle_command", self._on_command, qos.STAGE)
        # Wall clocks: this node is where simulated time comes from.
        self._wall_timer(0.05 if config.in_step else STEP, self._push)
        if not config.in_step:
            self._wall_timer(CLOCK_PERIOD, self._tell_time)

    def say(self, words: str) -> None:
        """Warn, and keep the words for who hosts the node."""
        self.last_words = words
        super().say(words)

    def _wall_timer(self, period: float, callback: Callable[[], None]) -> None:
        timer = self.create_timer(period, callback, clock=self._steady)
        self.until_cleanup(lambda: self.destroy_timer(timer))

    def _on_command(self, message: Any) -> None:
        command = conversions.vehicle_command_from_message(message)
        self._command = command
        if self.config.in_step and self.frame is not None and command.stamp == self.frame.scene.stamp:
            self.offer(command)

    def _push(self) -> None:
        """Begin; in real time go on; in step show again what nobody answered."""
        if not self.is_active or self.session is None:
            return
        if self.frame is None:
            self.offer("begin")
        elif not self.config.in_step:
            self.offer(self._newest_command())
        elif time.monotonic() - self._shown_at > self.config.patience:
            self.offer("again")

    def _newest_command(self) -> VehicleCommand:
        command = self._command
        now = self.frame.scene.stamp if self.frame is not None else 0
        if command is None or seconds_between(command.stamp, now) > self.config.command_age:
            brake = -self.config.world.vehicle.max_deceleration
            return VehicleCommand(now, 0, 0.0, 0.0, brake if command is not None else 0.0, 0.0)
        return command

    def work(self, item: VehicleCommand | str) -> None:
        """One step of the world, shown to all."""
        session = self.session
        if session is None:
            return
        if item == "again":
            self.counters["shown_again"] += 1
        elif isinstance(item, str):
            self.frame = session.start()
        elif session.world.finished or (
            self.config.in_step and self.frame is not None and item.stamp != self.frame.scene.stamp
        ):
            return
        else:
            self.frame = session.step(item)
        assert self.frame is not None
        if self._on_frame is not None and item != "again":
            self._on_frame(self.frame, None if isinstance(item, str) else item)
        if not session.world.finished:
            self._show(self.frame)

    def _is_late(self, command: VehicleCommand) -> bool:
        """Whether a command in step answers another frame than the one shown."""
        return self.config.in_step and self.frame is not None and command.stamp != self.frame.scene.stamp

    def _show(self, frame: DriveFrame) -> None:
        if not self.context.ok():  # the process is being ended
            return
        scene = frame.scene
        stamp = scene.stamp
        self._shown_at = time.monotonic()
        self._clock_output.publish(ClockMessage(clock=time_from_stamp(stamp)))
        self.send(self._ego_output, conversions.ego_state_to_message, scene.ego)
        self.send(self._odometry_output, odometry_from_ego_state, scene.ego)
        self.send(self._command_output, conversions.driving_command_to_message, scene.command)
        if scene.route is not None:
            self.send(self._route_output, conversions.route_to_message, scene.route)
        if frame.images is not None:
            shown = zip(frame.images.rig.cameras, frame.images.images, frame.images.valid, strict=True)
            for camera, image, valid in shown:
                if valid:
                    message = image_from_rgb(image, stamp, optical_frame(camera.name))
                    self._image_outputs[camera.name].publish(message)
                self._info_outputs[camera.name].publish(info_from_camera(camera, stamp))
        if self.config.truth and self.session is not None:
            self._truth_output.publish(String(data=json.dumps(self.session.truth(scene))))
            if frame.reasoning is not None:
                self.send(self._said_output, conversions.reasoning_to_message, frame.reasoning)
        if frame.candidates is not None:
            self.send(self._plan_output, conversions.candidates_to_message, frame.candidates)

    def _tell_time(self) -> None:
        """Let simulated time run on smoothly between two steps, never past the next."""
        if self.frame is None or not self.is_active:
            return
        ahead = min(time.monotonic() - self._shown_at, STEP - 1e-3)
        stamp: Stamp = self.frame.scene.stamp + round(ahead * 1e9)
        self._clock_output.publish(ClockMessage(clock=time_from_stamp(stamp)))

    def forget(self) -> None:
        """The next activation begins the drive again."""
        self.frame = None
        if self.session is not None:
            self.session.close()

    def describe(self, health: Health) -> None:
        """Where the drive stands."""
        world = self.session.world if self.session else None
        if world is None or self.frame is None:
            return
        health.values.update(scenario=world.scenario_name, town=world.town.name, time=round(world.time, 1))
        health.values.update(finished=world.finished, events=len(world.events))
        health.note(Level.OK, f"finished: {world.reason}" if world.finished else "driving")


def main() -> int:
    """The process of the node."""
    return run_node(SimNode)


if __name__ == "__main__":
    sys.exit(main())
