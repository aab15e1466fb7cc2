"""Six cameras between two processes: ``six_cameras.py send|receive FRAMES``; the receiver prints how many came."""

from __future__ import annotations

import sys
import time

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Bool

from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_ros import qos
from vadv2_ros.images import image_from_rgb

PERIOD = 0.1
TIMEOUT = 60.0


class Sender(LifecycleNode):
    """Publishes warm-up images with stamp 0 until the receiver is ready, then the counted frames."""

    def __init__(self, frames: int) -> None:
        super().__init__("sender")
        self.frames, self.sent, self.ready = frames, 0, False
        self.cameras = [self.create_lifecycle_publisher(Image, f"/camera/{n}", qos.IMAGE) for n in SURROUND_CAMERAS]
        self.done = self.create_publisher(Bool, "/done", qos.LATCHED)
        self.create_subscription(Bool, "/ready", self._on_ready, qos.LATCHED)
        rng = np.random.default_rng(0)
        self.images = [rng.integers(0, 256, (224, 480, 3), dtype=np.uint8) for _ in SURROUND_CAMERAS]
        self.create_timer(PERIOD, self._send)

    def _on_ready(self, _: Bool) -> None:
        self.ready = True

    def _send(self) -> None:
        if self.sent >= self.frames:
            return
        stamp = self.sent + 1 if self.ready else 0
        for publisher, image in zip(self.cameras, self.images, strict=True):
            publisher.publish(image_from_rgb(image, stamp, "camera"))
        self.sent += self.ready
        if self.sent == self.frames:
            self.done.publish(Bool(data=True))


class Receiver(Node):
    """Counts the images that carry a stamp."""

    def __init__(self) -> None:
        super().__init__("receiver")
        self.came, self.warm, self.done = set(), set(), False
        self.ready = self.create_publisher(Bool, "/ready", qos.LATCHED)
        for name in SURROUND_CAMERAS:
            self.create_subscription(Image, f"/camera/{name}", lambda m, n=name: self._on_image(n, m), qos.IMAGE)
        self.create_subscription(Bool, "/done", self._on_done, qos.LATCHED)

    def _on_image(self, name: str, message: Image) -> None:
        if message.header.stamp.nanosec:
            self.came.add((name, message.header.stamp.nanosec))
        elif name not in self.warm:
            self.warm.add(name)
            if len(self.warm) == len(SURROUND_CAMERAS):
                self.ready.publish(Bool(data=True))

    def _on_done(self, _: Bool) -> None:
        self.done = True


def main(role: str, frames: int) -> int:
    rclpy.init()
    node = Sender(frames) if role == "send" else Receiver()
    if isinstance(node, Sender):
        node.trigger_configure()
        node.trigger_activate()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end = time.monotonic() + TIMEOUT
    settled = None
    while time.monotonic() < end and (settled is None or time.monotonic() < settled):
        executor.spin_once(timeout_sec=0.05)
        finished = node.sent >= frames if isinstance(node, Sender) else node.done
        if finished and settled is None:
            # What is still on its way arrives; the sender outlives the receiver.
            settled = time.monotonic() + (1.0 if role == "receive" else 3.0)
    if isinstance(node, Receiver):
        sys.stdout.write(f"received {len(node.came)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
