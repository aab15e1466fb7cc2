"""Clips that the recorder's node writes while a stack runs, by its service and at an emergency, are replayed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from outside_client import OutsideClient
from std_srvs.srv import Trigger
from vadv2_msgs import msg as messages

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.city_system import with_city
from vadv2_bringup.cli import main
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import CONFIG, SystemDescription, SystemOptions, describe_system, driver_for
from vadv2_core.drive import DriveState
from vadv2_core.files import read_json
from vadv2_ros import qos
from vadv2_sim.node_configuration import SimNodeConfig

pytestmark = pytest.mark.long
RIG = str(CONFIG / "rig" / "surround6.yaml")
BEFORE, AFTER = 3.0, 1.0


def system_with_recorder(parameters: Path, clips: Path) -> SystemDescription:
    """The city, its expert, control and the recorder, each a process; the world waits for each command."""
    recorder = {"directory": str(clips), "before": BEFORE, "after": AFTER}
    parameters.write_text(yaml.safe_dump({"recorder": {"ros__parameters": recorder}}))
    options = SystemOptions(
        rig_file=RIG, use_sim_time=True, in_step=True, recorder=True, params_file=str(parameters), log_level="warn"
    )
    settings = {"control.drive.engage_automatically": True}
    city = SimNodeConfig(town="town_b", scenario="free", seed=4, rig_file=RIG)
    return with_city(describe_system(driver_for("tiny", settings=settings), options), city)


class Listener:
    """Hears a running city from outside."""

    def __init__(self, client: OutsideClient, supervisor: Supervisor) -> None:
        self.client, self._supervisor = client, supervisor
        self.statuses = client.collect(messages.DriveStatus, "/drive_status", qos.STAGE)
        self.egos = client.collect(messages.EgoState, "/ego_state", qos.ODOMETRY)
        self.objects = client.publisher(messages.Obstacles, "/objects", qos.STAGE)

    def wait(self, condition: object) -> None:
        """Until it holds; no node may end meanwhile."""
        assert callable(condition)
        self.client.wait(lambda: self._supervisor.ended() == {} and condition(), self._says)

    def _says(self) -> str:
        last = self.statuses[-1].cause if self.statuses else "nothing heard"
        return f"{last}; {self.client.diagnostics('recorder')}; {len(self.egos)} states"

    def is_in(self, state: DriveState) -> bool:
        """Whether control's last word is this state."""
        return bool(self.statuses) and self.statuses[-1].state == state

    def block_the_way(self) -> bool:
        """Say that a box stands some three metres ahead of the bumper; whether control has seen it."""
        ego = self.egos[-1]
        x, y, yaw = ego.pose.x + 7.0 * math.cos(ego.pose.yaw), ego.pose.y + 7.0 * math.sin(ego.pose.yaw), ego.pose.yaw
        message = messages.Obstacles(header=ego.header)
        message.obstacles.append(messages.Obstacle(x=x, y=y, yaw=yaw, length=1.0, width=2.0))
        self.objects.publish(message)
        return self.is_in(DriveState.EMERGENCY)

    def clips(self) -> int:
        """What the recorder says it has written."""
        return int(self.client.diagnostics("recorder").get("clips", 0))


@pytest.fixture
def clips(tmp_path: Path) -> Iterator[list[Path]]:
    """Two clips of a live drive: asked for, and of an emergency."""
    folder = tmp_path / "clips"
    system = system_with_recorder(tmp_path / "parameters.yaml", folder)
    with OutsideClient(timeout=240.0) as client, Supervisor(system) as supervisor:
        listener = Listener(client, supervisor)
        listener.wait(lambda: listener.is_in(DriveState.DRIVING) and len(listener.egos) > 40)
        answer = client.call(Trigger, "/recorder/trigger", Trigger.Request())
        assert answer.success and "a clip is cut" in answer.message
        listener.wait(lambda: listener.clips() == 1)
        listener.wait(listener.block_the_way)
        listener.wait(lambda: listener.clips() == 2)
    yield sorted(p for p in folder.iterdir() if p.is_dir())


def test_a_live_clip_is_replayed_like_any_bag(clips: list[Path], tmp_path: Path) -> None:
    asked, emergency = clips
    assert read_json(asked.with_suffix(".json"))["reason"] == "asked for"
    assert read_json(emergency.with_suffix(".json"))["reason"].startswith("emergency: contact")
    for clip in clips:
        with BagReader(clip) as reader:
            frames = list(reader.frames())
            counts = {t.topic: t.count for t in reader.info()}
        whole = sum(bool(f.frame.valid.all()) for f in frames)
        print(f"\n{clip.name}: {len(frames)} frames, {whole} of them with six images; {counts}")
        assert len(frames) >= 0.9 * 10 * (BEFORE + AFTER) and whole >= 0.9 * len(frames)
        assert counts["/drive_status"] and counts["/vehicle_command"] and counts["/trajectory_candidates"]
        assert frames[0].route is not None, "what was said once is in every clip"
    said = []
    for name, more in (("nodes", []), ("process", ["--in-process"])):
        out = tmp_path / name
        assert main(["replay", str(asked), "--out", str(out), "--frames", "5", "--max-tokens", "8", *more]) == 0
        said.append(read_json(out / "summary.json"))
    assert all((s["commands"], s["reasonings"], s["dropped"]) == (5, 5, 0) for s in said)
    assert said[0]["outputs_sha256"] == said[1]["outputs_sha256"]
    assert main(["replay", str(emergency), "--out", str(tmp_path / "emergency"), "--in-process", "--frames", "5"]) == 0
