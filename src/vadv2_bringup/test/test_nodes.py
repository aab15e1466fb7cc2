"""The four nodes as processes, from outside: images and odometry in, trajectory, command, status and reasoning out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from outside_client import OutsideClient
from sensor_msgs.msg import CompressedImage, Image
from vadv2_msgs import msg as messages

from vadv2_bringup.readiness import listen_for_readiness
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemOptions, describe_system, driver_for
from vadv2_core.camera import load_rig
from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_ros import qos
from vadv2_ros.conversions import candidates_from_message, driving_command_to_message, stamp_from_time
from vadv2_ros.images import compressed_from_rgb, image_from_rgb
from vadv2_ros.standard_messages import odometry_from_ego_state

RIG = CONFIG / "rig" / "surround6.yaml"
PERIOD = 100_000_000
START = 1_000_000_000
SPEED = 5.0


class Vehicle:
    """Six cameras, odometry and a commander, as an outside client."""

    def __init__(self, client: OutsideClient, namespace: str = "", compressed: bool = False) -> None:
        self.client, self.rig, self.compressed = client, load_rig(RIG), compressed
        prefix = f"/{namespace}/" if namespace else "/"
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        self.cameras = {
            n: client.publisher(kind, f"{prefix}camera/{n}/image{suffix}", qos.IMAGE) for n in self.rig.names
        }
        self.odometry = client.publisher(Odometry, f"{prefix}odometry", qos.ODOMETRY)
        self.command = client.publisher(messages.DrivingCommand, f"{prefix}driving_command", qos.LATCHED)
        self.outputs = {
            name: client.collect(kind, f"{prefix}{name}", qos.STAGE)
            for name, kind in (
                ("scene_tokens", messages.SceneTokens),
                ("trajectory_candidates", messages.TrajectoryCandidates),
                ("vehicle_command", messages.VehicleCommand),
                ("drive_status", messages.DriveStatus),
                ("reasoning", messages.Reasoning),
                ("reasoning_embedding", messages.ReasoningEmbedding),
            )
        }
        rng = np.random.default_rng(3)
        self.images = [rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in self.rig.cameras]
        self.command.publish(
            driving_command_to_message(DrivingCommand(1, "follow the lane", DrivingAction.LANE_FOLLOW))
        )

    def unconnected(self) -> list[str]:
        """Topics of ours that not all who should hear."""
        wanted = {p.topic_name: (p, 1) for p in (*self.cameras.values(), self.command)}
        wanted[self.odometry.topic_name] = (self.odometry, 2)
        counts = {name: (p.get_subscription_count(), least) for name, (p, least) in wanted.items()}
        return [f"{name} is heard by {n} of {least}" for name, (n, least) in counts.items() if n < least]

    def connected(self) -> bool:
        return not self.unconnected()

    def send(self, index: int, cameras: tuple[str, ...] | None = None) -> int:
        """Send the frame of an index, odometry first; returns its stamp."""
        stamp = START + index * PERIOD
        x = SPEED * index * PERIOD * 1e-9
        ego = EgoState(stamp, Pose2(x, 0.0, 0.0), (SPEED, 0.0), (0.0, 0.0), 0.0)
        self.odometry.publish(odometry_from_ego_state(ego))
        to_message = compressed_from_rgb if self.compressed else image_from_rgb
        for camera, image in zip(self.rig.cameras, self.images, strict=True):
            if cameras is None or camera.name in cameras:
                # Not the same picture twice: that is a frozen camera.
                self.cameras[camera.name].publish(to_message(np.roll(image, index, axis=1), stamp, camera.name))
        return stamp

    def answered(self, topic: str, stamp: int) -> bool:
        return any(stamp_from_time(m.header.stamp) == stamp for m in self.outputs[topic])


@pytest.fixture
def client() -> Iterator[OutsideClient]:
    with OutsideClient(timeout=120.0) as client:
        yield client


def wait_until_ready(client: OutsideClient, supervisor: Supervisor, vehicle: Vehicle) -> None:
    readiness = listen_for_readiness(client.node, supervisor.system)
    client.wait(lambda: supervisor.ended() or not readiness.missing(), readiness.missing)
    assert supervisor.ended() == {}
    client.wait(vehicle.connected, vehicle.unconnected)


def in_step(compressed: bool = False, namespace: str = "") -> Supervisor:
    settings = {"vlm.max_tokens": 16, "reason_every": 2, "control.drive.engage_automatically": True}
    options = SystemOptions(
        rig_file=str(RIG), in_step=True, namespace=namespace, image_transport="compressed" if compressed else "raw"
    )
    return Supervisor(describe_system(driver_for("tiny", settings=settings), options))


def test_every_frame_is_answered_with_its_stamp_and_a_dead_camera_stalls_nothing(client: OutsideClient) -> None:
    with in_step() as supervisor:
        vehicle = Vehicle(client)
        wait_until_ready(client, supervisor, vehicle)
        for index in range(4):
            stamp = vehicle.send(index)
            for topic in ("scene_tokens", "reasoning_embedding", "trajectory_candidates", "vehicle_command"):
                client.wait(lambda topic=topic, stamp=stamp: vehicle.answered(topic, stamp))
        assert [stamp_from_time(m.header.stamp) for m in vehicle.outputs["reasoning"]] == [START, START + 2 * PERIOD]
        for message in vehicle.outputs["trajectory_candidates"]:
            plan = candidates_from_message(message)
            assert plan.points.shape == (20, 80, 6) and np.isfinite(plan.points).all()
            assert plan.model_id.endswith("-untrained") and any("untrained" in d for d in plan.degraded)
            assert plan.ages["reasoning"] == 0.0
        # The back camera dies: the frame comes all the same, with the camera masked.
        living = tuple(n for n in vehicle.rig.names if n != "back")
        stamp = vehicle.send(4, living)
        client.wait(lambda: vehicle.answered("vehicle_command", stamp))
        tokens = next(m for m in vehicle.outputs["scene_tokens"] if stamp_from_time(m.header.stamp) == stamp)
        assert dict(zip(vehicle.rig.names, tokens.camera_valid, strict=True))["back"] is False
        client.wait(lambda: client.diagnostics("perception").get("camera.back.missing") == "1")
        os.kill(supervisor.pids["vlm"], 9)
        client.wait(lambda: supervisor.ended() == {"vlm": -9})


def test_compressed_images_in_a_namespace(client: OutsideClient) -> None:
    with in_step(compressed=True, namespace="ego") as supervisor:
        vehicle = Vehicle(client, namespace="ego", compressed=True)
        wait_until_ready(client, supervisor, vehicle)
        assert client.state("ego/planner") == "active"
        stamp = vehicle.send(0)
        client.wait(lambda: vehicle.answered("vehicle_command", stamp))
        assert vehicle.answered("scene_tokens", stamp)
