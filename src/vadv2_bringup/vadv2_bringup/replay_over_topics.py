"""A bag through the four nodes as processes, over topics: in step, or at the bag's own speed."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.drive_record import DriveRecord, way_driven
from vadv2_bringup.supervisor import Supervisor
from vadv2_bringup.system import SystemOptions, describe_system
from vadv2_bringup.system_client import SystemClient, UnconnectedError
from vadv2_core.camera import CameraRig
from vadv2_core.command import DrivingCommand
from vadv2_core.errors import InputError
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.taxonomy import DrivingAction
from vadv2_driver.configuration import DriverConfig
from vadv2_ros.conversions import driving_command_from_message, route_from_message

if TYPE_CHECKING:
    from vadv2_bringup.replay import ReplayOptions

_READY_WITHIN = 180.0
_ATTEMPTS = 4
"""On a very busy machine DDS participants now and then miss each other for good; a start in another domain helps."""
_CLOCK_PERIOD = 10_000_000
_FREE_DOMAINS = 100
_SHOWN = ("[WARN]", "[ERROR]", "[FATAL]", "ended with status")


def own_domain(attempt: int = 1) -> int:
    """The user's ROS_DOMAIN_ID, or one of our own, so that a replay never mixes with a vehicle or another replay."""
    given = os.environ.get("ROS_DOMAIN_ID", "")
    return int(given) if given.isdigit() else 1 + (os.getpid() + 37 * (attempt - 1)) % _FREE_DOMAINS


def write_rig(rig: CameraRig, path: Path) -> None:
    """Write a rig file (the form of `vadv2_core.camera.load_rig`)."""
    cameras = {
        c.name: {"K": c.k.tolist(), "T_base_camera": c.t_base_camera.tolist(), "size": [c.width, c.height]}
        for c in rig.cameras
    }
    path.write_text(yaml.safe_dump({"cameras": cameras}, sort_keys=False))


@contextmanager
def running_system(
    reader: BagReader, config: DriverConfig, record: DriveRecord, *, in_step: bool
) -> Iterator[SystemClient]:
    """The nodes for a bag's cameras, ready, and a client of theirs; all end with the block."""
    kinds = {t.type for t in reader.info() if t.topic in reader.topics.images.values()}
    if len(kinds) > 1:
        raise InputError("some cameras are compressed and some are not", str(reader.path), "one kind of image")
    compressed = kinds == {"sensor_msgs/msg/CompressedImage"}
    lines: deque[str] = deque(maxlen=400)

    def hear(line: str) -> None:
        lines.append(line)
        if any(mark in line for mark in _SHOWN):
            sys.stderr.write(line + "\n")

    with tempfile.TemporaryDirectory(prefix="vadv2_rig_") as folder:
        rig_file = Path(folder) / "rig.yaml"
        write_rig(reader.rig, rig_file)
        options = SystemOptions(
            rig_file=str(rig_file),
            image_transport="compressed" if compressed else "raw",
            in_step=in_step,
            use_sim_time=not in_step,
        )
        system = describe_system(config, options)
        with ExitStack() as running:
            for attempt in range(1, _ATTEMPTS + 1):
                domain = own_domain(attempt)
                environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
                supervisor = running.enter_context(Supervisor(system, hear, environment))
                client = running.enter_context(
                    SystemClient(system, domain, supervisor, compressed=compressed, bag=record.bag, lines=lines)
                )
                try:
                    client.wait_until_ready(_READY_WITHIN)
                    break
                except UnconnectedError as error:
                    if attempt == _ATTEMPTS:
                        raise
                    running.close()
                    hear(f"[WARN] {error.what}: starting the nodes once more")
            yield client


def replay_over_topics(
    reader: BagReader,
    config: DriverConfig,
    record: DriveRecord,
    options: ReplayOptions,
    *,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Drive every frame of a bag through the nodes and record it.

    Args:
        reader: The bag.
        config: Model and stage configurations, handed to the nodes as their parameters.
        record: Takes the outputs.
        options: In step or in real time, bounds.
        progress: Called after every frame.

    Raises:
        InputError: where a node ends, does not get ready, or (in step) does not answer a frame in time.
    """
    with running_system(reader, config, record, in_step=not options.realtime) as client:
        if options.realtime:
            _realtime(reader, client, record, options, progress)
        else:
            _in_step(reader, client, config, record, options, progress)


def _in_step(
    reader: BagReader,
    client: SystemClient,
    config: DriverConfig,
    record: DriveRecord,
    options: ReplayOptions,
    progress: Callable[[], None],
) -> None:
    """Send a frame, wait for everything that answers it, send the next."""
    awaited = ["scene_tokens", "trajectory_candidates", "vehicle_command", "drive_status"]
    if config.reasons:
        awaited += ["reasoning_embedding", "reasoning"]
    ahead = way_driven(reader.odometry())
    for i, given in enumerate(reader.frames()):
        if options.frames is not None and i >= options.frames:
            break
        stamp = client.bag_time = given.frame.stamp
        client.send_intent(given.command, given.route)
        # One state at the frame's stamp, interpolated here, so that no node's answer hangs on what it heard when.
        client.send_ego(given.ego)
        for camera, _, data in given.images:
            client.send_image(camera, data)
        sent = time.perf_counter()

        def missing(stamp: Stamp = stamp) -> list[str]:
            return [name for name in awaited if stamp not in client.answers[name]]

        client.wait(
            lambda: not missing(),
            options.timeout,
            lambda: f"frame {i} at {stamp} was not answered by {', '.join(missing())}",  # noqa: B023
        )
        output = client.output(stamp, sent)
        assert output is not None, "every answer is there"
        if output.tokens is not None and output.tokens.ego != given.ego:
            raise InputError(f"frame {i} was encoded with another ego state", "nodes", "the state sent with the frame")
        record.add(given, output, ahead(stamp, given.ego.pose))
        client.forget_before(stamp)
        progress()


def _realtime(
    reader: BagReader,
    client: SystemClient,
    record: DriveRecord,
    options: ReplayOptions,
    progress: Callable[[], None],
) -> None:
    """Play the bag at its own speed on simulated time, then match frames and answers."""
    ahead = way_driven(reader.odometry())
    sent = _play(reader, client, options, progress)
    for given in reader.frames():
        stamp = given.frame.stamp
        if stamp not in sent:
            break
        output = client.output(stamp, sent[stamp])
        if output is None:
            record.drop()
        else:
            record.add(given, output, ahead(stamp, given.ego.pose))


def _play(
    reader: BagReader, client: SystemClient, options: ReplayOptions, progress: Callable[[], None]
) -> dict[Stamp, float]:
    """Send every message at its time; when each anchor image was sent (wall clock, s), by its stamp."""
    topics, cameras = reader.topics, {t: c for c, t in reader.topics.images.items()}
    anchor = next(iter(topics.images))
    states = deque(reader.odometry())
    command = DrivingCommand(states[0].stamp, "follow the lane", DrivingAction.LANE_FOLLOW)
    route = None
    wanted = (*cameras, *(t for t in (topics.command, topics.route) if t))
    start: tuple[Stamp, float] | None = None
    sent: dict[Stamp, float] = {}

    def run_to(stamp: Stamp) -> None:
        nonlocal start
        start = start or (stamp, time.monotonic())
        while True:
            now = start[0] + round((time.monotonic() - start[1]) * NANOSECONDS)
            while states and states[0].stamp <= now:
                client.send_odometry(states.popleft())
            client.bag_time = min(now, stamp)
            client.send_clock(now)
            if now >= stamp:
                return
            client.spin(min(seconds_between(now, stamp), _CLOCK_PERIOD / NANOSECONDS))

    client.send_intent(command, route)
    last = 0
    for topic, kind, stamp, data in reader.serialized(*wanted):
        run_to(stamp)
        last = stamp
        if topic in cameras:
            client.send_image(cameras[topic], data)
            if cameras[topic] == anchor:
                if options.frames is not None and len(sent) >= options.frames:
                    break
                sent[reader.image_stamp(kind, data)] = time.perf_counter()
                progress()
        else:
            message = reader.deserialized(data, kind, topic)
            command = driving_command_from_message(message) if topic == topics.command else command
            route = route_from_message(message) if topic == topics.route else route
            client.send_intent(command, route)
    run_to(last + round(1.5 * NANOSECONDS))
    return sent
