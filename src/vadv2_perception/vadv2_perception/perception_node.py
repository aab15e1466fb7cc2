"""Six image topics and odometry in, scene tokens out."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vadv2_msgs import msg as messages

from vadv2_core.camera import CameraRig, load_rig
from vadv2_core.ego import EgoState
from vadv2_core.trajectory import Trajectory
from vadv2_perception.encoder import SceneEncoder
from vadv2_perception.frame_assembler import FrameAssembler, PendingFrame
from vadv2_perception.node_configuration import PerceptionNodeConfig
from vadv2_perception.overlay import draw_overlay
from vadv2_ros import qos
from vadv2_ros.conversions import scene_tokens_to_message, trajectory_from_message
from vadv2_ros.diagnostics import Health, Level
from vadv2_ros.ego_listener import EgoListener
from vadv2_ros.fields import BASE_FRAME, stamp_from_time
from vadv2_ros.images import image_from_rgb, rgb_from_message
from vadv2_ros.mounting import RigListener, transforms_type
from vadv2_ros.node_process import run_node
from vadv2_ros.worker_node import WorkerNode

_POLL_PERIOD = 0.02
"""Seconds between looks for a frame that waits for a camera that does not come."""


@dataclass(frozen=True, slots=True)
class _Work:
    pending: PendingFrame
    ego: EgoState


class PerceptionNode(WorkerNode[PerceptionNodeConfig, _Work]):
    """`SceneEncoder` as a lifecycle node; frames are put together in callbacks, decoded and encoded by the worker."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("perception", PerceptionNodeConfig, **arguments)

    def setup(self) -> None:
        """Load the encoder; subscribe to the cameras of the rig file, or learn them from CameraInfo first."""
        config = self.config
        self._encoder = SceneEncoder(Path(config.model_directory) if config.model_directory else None, config.encoder)
        self._assembler: FrameAssembler | None = None
        self._output = self.advertise(messages.SceneTokens, "output/scene_tokens", qos.STAGE)
        self._overlay = self.advertise(Image, "debug/overlay", qos.IMAGE)
        self._plan: Trajectory | None = None
        self.listen(messages.Trajectory, "trajectory", self._on_trajectory, qos.STAGE)
        self._odometry = EgoListener(self, config.odometry).buffer
        if config.rig_file:
            self._use_rig(load_rig(Path(config.rig_file)))
        else:
            listener = RigListener(config.cameras, self._use_rig)
            for name in config.cameras:
                self.listen(CameraInfo, f"camera/{name}/camera_info", partial(listener.on_info, name), qos.IMAGE)
            self.listen(transforms_type(), "/tf_static", listener.on_transforms, qos.LATCHED)
        self.every(_POLL_PERIOD, self._poll)

    def _use_rig(self, rig: CameraRig) -> None:
        self._encoder.prepare(len(rig.cameras))
        self._assembler = FrameAssembler(self.config.frames, rig)
        compressed = self.config.image_transport == "compressed"
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        for name in rig.names:
            self.listen(kind, f"camera/{name}/image{suffix}", partial(self._on_image, name), qos.IMAGE)

    def _on_image(self, name: str, message: Any) -> None:
        if self._assembler is not None and self.is_active:
            where = f"camera {name!r}"
            decode = partial(rgb_from_message, message, where)
            self._assembler.push(name, stamp_from_time(message.header.stamp), decode)
            self._poll()

    def _on_trajectory(self, message: Any) -> None:
        if self._overlay.get_subscription_count():
            self._plan = trajectory_from_message(message)

    def _poll(self) -> None:
        if self._assembler is None or not self.is_active:
            return
        while (pending := self._assembler.poll(time.monotonic())) is not None:
            ego = self._odometry.at(pending.stamp)
            if ego is None:
                self.counters["frames_without_odometry"] += 1
                self.say("a frame without odometry near its stamp is skipped")
            else:
                self.offer(_Work(pending, ego))

    def work(self, item: _Work) -> None:
        """Decode, encode, publish."""
        assert self._assembler is not None, "a frame comes from an assembler"
        self.follow_time(item.pending.stamp)
        frame = self._assembler.assemble(item.pending, item.ego.speed)
        if frame is None:
            return
        tokens = self._encoder.encode(frame, item.ego)
        if self.send(self._output, scene_tokens_to_message, tokens) and self._overlay.get_subscription_count():
            picture = draw_overlay(frame, tokens, self._plan)
            self._overlay.publish(image_from_rgb(picture, frame.stamp, BASE_FRAME))

    def forget(self) -> None:
        """History does not outlive a jump of time."""
        self._encoder.reset()
        self._plan = None

    def reconfigure(self, config: PerceptionNodeConfig) -> None:
        """Thresholds of the frame assembler and the encoder."""
        if self._assembler is not None:
            self._assembler.config = config.frames
        self._encoder.config = config.encoder

    def describe(self, health: Health) -> None:
        """The model, and what every camera does."""
        if not hasattr(self, "_encoder"):
            return
        health.values["model_id"] = self._encoder.model_id
        health.values.update({f"odometry.{k}": v for k, v in asdict(self._odometry.counters).items()})
        if self._assembler is None:
            health.note(Level.WARN, "waiting for CameraInfo and /tf_static of every camera")
            return
        health.values.update({f"frames.{k}": v for k, v in asdict(self._assembler.frames).items()})
        for name, counters in self._assembler.counters.items():
            health.values.update({f"camera.{name}.{k}": v for k, v in asdict(counters).items() if v})
            if self.is_active and not counters.received:
                health.note(Level.WARN, f"camera {name} is silent")


def main() -> int:
    """The process of the node."""
    return run_node(PerceptionNode)


if __name__ == "__main__":
    sys.exit(main())
