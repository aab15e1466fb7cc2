"""A drive through the city over ROS: the simulator's node here, the stack's nodes as processes, and what it leaves.

The simulator's node runs in this process, so that every frame is recorded whoever loses it on the way.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vadv2_bringup.bag_topics import COMMAND, ODOMETRY, ROUTE, TF_STATIC, image_topic, info_topic
from vadv2_bringup.city_system import camera_outputs, drivers_nodes
from vadv2_bringup.clip_to_bag import static_transforms
from vadv2_bringup.drive_record import DriveRecord, partial_folder
from vadv2_bringup.replay import progress_bar
from vadv2_bringup.system import TOPICS, SystemDescription, SystemOptions, changed, describe_system, driver_for
from vadv2_bringup.watched import WorkerDied, watched
from vadv2_core.camera import CameraFrame
from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.files import write_json_atomic
from vadv2_core.stamps import Stamp
from vadv2_driver.output import DriverOutput
from vadv2_sim.drive_session import DriveFrame
from vadv2_sim.node_configuration import SimNodeConfig

VIDEO_NAME = "drive.mp4"
LOG_NAME = "drive.scenes.zst"


@dataclass(frozen=True, slots=True)
class CityDrive:
    """What to drive and how; the command line's options by the same names."""

    sim: SimNodeConfig
    model: str = "tiny"
    models: Path = Path("models")
    settings: tuple[tuple[str, Any], ...] = ()
    video: bool = True
    timeout: float = 120.0


def describe_city(drive: CityDrive) -> SystemDescription:
    """The nodes beside the simulator's: control alone where the expert plans, all of them where the model does."""
    from vadv2_sim.rig_files import config_folder

    rig = drive.sim.rig_file or str(config_folder() / "rig" / "surround6.yaml")
    options = SystemOptions(use_sim_time=True, rig_file=rig, in_step=drive.sim.in_step, log_level="warn")
    settings = {"control.drive.engage_automatically": True, **dict(drive.settings)}
    system = describe_system(driver_for(drive.model, str(drive.models), settings), options)
    return drivers_nodes(system, drive.sim.driver)


class _Recorder:
    """Takes the simulator's frames and the stack's answers, joins them by stamp, and writes them down in order."""

    def __init__(self, drive: CityDrive, record: DriveRecord, advance: Callable[[], None]) -> None:
        self._drive, self._record, self._advance = drive, record, advance
        self._heard: dict[str, dict[Stamp, Any]] = {"candidates": {}, "reasoning": {}, "tokens": {}, "status": {}}
        self._last: DriveFrame | None = None
        self._video: Any = None
        self._log: Any = None
        self._said: Any = None
        self.frames = 0
        self.failure: BaseException | None = None
        self.done = threading.Event()
        self.node: Any = None

    def hear(self, what: str, stamp: Stamp, value: Any) -> None:
        """An answer of the stack."""
        held = self._heard[what]
        held[stamp] = value
        while len(held) > 40:
            held.pop(next(iter(held)))

    def frame(self, frame: DriveFrame, command: VehicleCommand | None) -> None:
        """A frame of the simulator, and the command that led to it; runs in its worker thread."""
        try:
            if self._last is not None and command is not None:
                self._write(self._last, command)
            else:
                self._begin(frame)
            self._last = frame
            if self.node.session.world.finished:
                self.close()
                self.done.set()
        except BaseException as error:
            self.failure = error
            self.done.set()
            raise

    def _begin(self, frame: DriveFrame) -> None:
        from vadv2_core.scene_log import SceneLogWriter
        from vadv2_sim.drive_video import DriveVideo
        from vadv2_sim.record import log_header

        session = self.node.session
        header = log_header(session.world, self._drive.sim.driver)
        self._log = SceneLogWriter(self._record.folder / LOG_NAME, header, flush_every=1)
        if self._drive.video and frame.images is not None:
            self._video = DriveVideo(self._record.folder / VIDEO_NAME, session.world.road, session.config.world.vehicle)
        if frame.images is not None:
            mounting = static_transforms(frame.images.rig, frame.scene.stamp)
            self._record.bag.write(TF_STATIC, mounting, frame.scene.stamp, latched=True)

    def _write(self, frame: DriveFrame, command: VehicleCommand) -> None:
        from vadv2_bringup.bag_reader import BagFrame
        from vadv2_core.scene_log import LogFrame

        scene, stamp = frame.scene, frame.scene.stamp
        candidates = frame.candidates or self._heard["candidates"].get(stamp)
        reasoning = self._heard["reasoning"].get(stamp) or frame.reasoning
        status = self._heard["status"].get(stamp) or DriveStatus(stamp, DriveState.DRIVING, "", True)
        self._log.write(LogFrame(scene, command))
        self._write_bag(frame, command, candidates)
        if candidates is not None and frame.images is not None:
            output = DriverOutput(
                stamp,
                self._heard["tokens"].get(stamp),
                None,
                reasoning,
                candidates,
                command,
                status,
                dict(status.timings),
            )
            given = BagFrame(frame.images, scene.ego, scene.command, scene.route, (scene.ego,), ())
            self._record.add(given, output)
        if self._video is not None:
            plan = candidates.trajectory() if candidates is not None else None
            self._said = reasoning or self._said
            self._video.add(scene, frame.images, plan, self._said, status)
        self.frames += 1
        self._advance()

    def _write_bag(self, frame: DriveFrame, command: VehicleCommand, candidates: Any) -> None:
        from vadv2_ros import conversions
        from vadv2_ros.standard_messages import odometry_from_ego_state

        bag, scene, stamp = self._record.bag, frame.scene, frame.scene.stamp
        bag.write(ODOMETRY, odometry_from_ego_state(scene.ego), stamp)
        bag.write("/ego_state", conversions.ego_state_to_message(scene.ego), stamp)
        bag.write(COMMAND, conversions.driving_command_to_message(scene.command), stamp, latched=True)
        if scene.route is not None:
            bag.write(ROUTE, conversions.route_to_message(scene.route), stamp, latched=True)
        if frame.images is not None:
            write_images(bag, frame.images)
        if candidates is not None:
            bag.write("/trajectory_candidates", conversions.candidates_to_message(candidates), stamp)
        if frame.reasoning is not None:
            bag.write("/truth/reasoning", conversions.reasoning_to_message(frame.reasoning), stamp)
        bag.write("/vehicle_command", conversions.vehicle_command_to_message(command), stamp)

    def close(self) -> None:
        """Finish video and log."""
        self.leave()
        if self._log is not None:
            world = self.node.session.world
            self._log.close({"reason": world.reason, "success": world.success, "seconds": world.time})
            self._log = None

    def leave(self) -> None:
        """Finish the video; a log that is not finished stays cut short, as it is."""
        if self._video is not None:
            self._video.close()
            self._video = None


def write_images(bag: Any, images: CameraFrame) -> None:
    """Write a frame's images as JPEG, and their calibration, to a bag by our names."""
    from vadv2_ros.camera_messages import info_from_camera, optical_frame
    from vadv2_ros.images import compressed_from_rgb

    for camera, image, valid in zip(images.rig.cameras, images.images, images.valid, strict=True):
        if valid:
            message = compressed_from_rgb(image, images.stamp, optical_frame(camera.name), quality=88)
            bag.write(image_topic(camera.name, compressed=True), message, images.stamp)
        bag.write(info_topic(camera.name), info_from_camera(camera, images.stamp), images.stamp)


def drive_city(drive: CityDrive, out: Path, title: str = "") -> dict[str, Any]:
    """Drive through the city over ROS 2 and leave summary, bag, report, scene log and video in a folder.

    Args:
        drive: What and how.
        out: The folder to make.
        title: The report's.

    Returns:
        The summary.

    Raises:
        InputError: for a town, scenario, model or rig that cannot be used, a node that ended, or SUMO dying; the scene
            log is then kept as ``<out>.scenes.zst.part`` up to its last whole frame.
    """
    from vadv2_sim.world import World

    config = drive.sim
    world = World(config.town, config.scenario, config.seed, config.world)
    seconds = config.world.seconds or world.scenario.info.seconds
    title = title or f"{config.scenario} in {world.town.name}, seed {config.seed}, driven by {config.driver}"
    system = describe_city(drive)
    with DriveRecord(out, title) as record, progress_bar("driving", int(10 * seconds)) as advance:
        recorder = _Recorder(drive, record, advance)
        try:
            _run(drive, system, recorder)
        except BaseException:
            _keep_log(out)
            raise
        world = recorder.node.session.world
        summary = {
            "town": world.town.name,
            "scenario": world.scenario_name,
            "seed": world.seed,
            "driver": config.driver,
            "ended": world.reason,
            "success": world.success,
            "seconds": round(world.time, 1),
            "metres": round(world.s - world.placement.start, 1),
            "events": [{**asdict(e), "kind": str(e.kind)} for e in world.events],
        }
        finished = record.finish(_notes(summary))
        summary = {**finished, **summary}
        write_json_atomic(out / "summary.json", summary)
        return summary


def _notes(summary: dict[str, Any]) -> list[str]:
    faults = [e for e in summary["events"] if e["at_fault"]]
    words = f"Ended by {summary['ended']} after {summary['seconds']} s and {summary['metres']} m; "
    words += "passed." if summary["success"] else "not passed."
    return [words, *(f"{e['kind']}: {e['detail']}" for e in faults)]


def _keep_log(out: Path) -> Path | None:
    """Put the scene log of a drive that did not end well beside its place, and say where."""
    part = partial_folder(out) / f"{LOG_NAME}.part"
    if not part.is_file():
        return None
    kept = out.with_name(f"{out.name}.scenes.zst.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    part.replace(kept)
    return kept


def drive_city_watched(drive: CityDrive, out: Path) -> dict[str, Any]:
    """As `drive_city`, in a process of its own: SUMO's and the renderer's native code may take their process with them.

    Raises:
        InputError: as `drive_city`, and where the process died.
    """
    try:
        summary: dict[str, Any] = watched(lambda: drive_city(drive, out))
    except WorkerDied as death:
        kept = _keep_log(out)
        shutil.rmtree(partial_folder(out), ignore_errors=True)
        words = f"the simulator's process died ({death})"
        raise InputError(words + (f"; the log is kept in {kept}" if kept else ""), "drive", "another seed") from None
    return summary


def _run(drive: CityDrive, system: SystemDescription, recorder: _Recorder) -> None:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle import TransitionCallbackReturn

    from vadv2_bringup.readiness import listen_for_readiness
    from vadv2_bringup.replay_over_topics import own_domain
    from vadv2_bringup.supervisor import Supervisor
    from vadv2_sim.sim_node import SimNode

    domain = own_domain()
    rclpy.init(args=_sim_arguments(drive), domain_id=domain)
    node = None
    try:
        node = SimNode(recorder.frame)
        recorder.node = node
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        with Supervisor(system, environment=environment) as supervisor:
            readiness = listen_for_readiness(node, system)
            _listen(node, recorder)
            deadline = time.monotonic() + drive.timeout

            def wait_until_none(missing: Callable[[], list[str]]) -> None:
                while lacking := missing():
                    executor.spin_once(timeout_sec=0.1)
                    _check(supervisor.ended())
                    if time.monotonic() > deadline:
                        expected = f"a running system within {drive.timeout:g} s (--timeout)"
                        raise InputError("; ".join(lacking), "drive", expected)

            wait_until_none(readiness.missing)
            if node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
                raise InputError(node.failure or "cannot be configured", "sim")
            # The first frame counts like every other: nothing is sent before all who answer it hear it.
            wait_until_none(lambda: unconnected_to_city(system, drive.sim, node.connections(), readiness.values))
            node.trigger_activate()
            heard = time.monotonic()
            frames = 0
            while not recorder.done.is_set():
                executor.spin_once(timeout_sec=0.05)
                _check(supervisor.ended())
                if recorder.frames != frames:
                    heard, frames = time.monotonic(), recorder.frames
                if node.counters["bad_input"] or node.counters["failures"]:
                    raise InputError(node.last_words or "the simulator failed", "sim")
                if time.monotonic() - heard > drive.timeout:
                    raise InputError(f"no answer for {drive.timeout:g} s", "drive", "a vehicle command a frame")
            if recorder.failure is not None:
                raise recorder.failure
    finally:
        if node is not None:
            node.stop_working()
            recorder.leave()
            node.destroy_node()
        rclpy.try_shutdown()


def unconnected_to_city(
    system: SystemDescription,
    config: SimNodeConfig,
    connections: Mapping[str, int],
    said: Callable[[str], Mapping[str, str]],
) -> list[str]:
    """What is not connected yet between the simulator's node and the others, in words.

    Args:
        system: The other nodes.
        config: The simulator's.
        connections: Its own count of who is at the other end (`WorkerNode.connections`).
        said: A node's diagnostics, by node name.
    """
    shown = {public: private for private, public in {**TOPICS["sim"], **camera_outputs(config)}.items()}
    lacking = []
    hearers: Counter[str] = Counter()
    for node in system.nodes:
        for private, public in node.remappings:
            if public in shown and private.startswith("~/input/"):
                hearers[public] += 1
                if said(node.name).get(f"in.{private.removeprefix('~/input/')}", "0") == "0":
                    lacking.append(f"{node.name} does not hear {public}")
    for public, count in hearers.items():
        heard = connections.get(f"out.{shown[public].removeprefix('~/')}", 0)
        if heard < count:
            lacking.append(f"{public} of the city is heard by {heard} of {count}")
    if not connections.get("in.vehicle_command"):
        lacking.append("the city does not hear vehicle_command")
    return lacking


def _check(ended: dict[str, int]) -> None:
    for name, status in ended.items():
        raise InputError(f"the {name} node ended with status {status}", "drive", "nodes that run")


def _sim_arguments(drive: CityDrive) -> list[str]:
    """Parameters and topics of the simulator's node as ROS arguments."""
    arguments = ["--ros-args"]
    for name, value in changed(drive.sim).items():
        arguments += ["-p", f"{name}:={json.dumps(list(value) if isinstance(value, tuple) else value)}"]
    for private, public in {**TOPICS["sim"], **camera_outputs(drive.sim)}.items():
        arguments += ["-r", f"{private}:={public}"]
    return arguments


def _listen(node: Any, recorder: _Recorder) -> None:
    from vadv2_msgs import msg as messages

    from vadv2_ros import conversions, qos
    from vadv2_ros.fields import stamp_from_time

    kinds = {
        "candidates": (messages.TrajectoryCandidates, "trajectory_candidates", conversions.candidates_from_message),
        "reasoning": (messages.Reasoning, "reasoning", conversions.reasoning_from_message),
        "tokens": (messages.SceneTokens, "scene_tokens", conversions.scene_tokens_from_message),
        "status": (messages.DriveStatus, "drive_status", conversions.drive_status_from_message),
    }
    for what, (kind, topic, convert) in kinds.items():

        def hear(message: Any, what: str = what, convert: Callable[[Any], Any] = convert) -> None:
            recorder.hear(what, stamp_from_time(message.header.stamp), convert(message))

        node.create_subscription(kind, topic, hear, qos.STAGE)
