"""What a drive leaves behind: a bag of every output, ``summary.json`` and ``report.html``, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vadv2_bringup.bag_reader import BagFrame
from vadv2_bringup.bag_writer import BagWriter
from vadv2_bringup.report import ReportWriter
from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.files import write_json_atomic
from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp
from vadv2_core.trajectory import Trajectory
from vadv2_driver.output import UNTRAINED, DriverOutput, outputs_sha256, system_model_id

SUMMARY_NAME, REPORT_NAME, BAG_NAME = "summary.json", "report.html", "bag"


def stage_statistics(timings: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """``{stage: {p50_ms, p95_ms, max_ms}}`` of the frames' wall times by stage (ms), rounded to 0.01 ms."""
    stages = list(dict.fromkeys(stage for row in timings for stage in row))
    statistics = {}
    for stage in stages:
        values = np.array([row[stage] for row in timings if stage in row])
        p50, p95 = np.percentile(values, [50, 95])
        numbers = {"p50_ms": p50, "p95_ms": p95, "max_ms": values.max()}
        statistics[stage] = {name: round(float(v), 2) for name, v in numbers.items()}
    return statistics


def partial_folder(directory: Path) -> Path:
    """Where a drive's files are until it has ended well."""
    return directory.with_name(f".{directory.name}.partial")


class DriveRecord:
    """Collects a drive's outputs into a folder that appears when the drive has ended well.

    Args:
        directory: The folder to make; an earlier drive's folder (one with a summary in it) is replaced.
        title: The report's.
        frames: How many frames are to come, where that is known.

    Raises:
        InputError: where the folder holds something else.
    """

    def __init__(self, directory: Path, title: str, frames: int | None = None) -> None:
        if directory.exists() and not directory.is_dir():
            raise InputError("is a file", str(directory), "a folder to make")
        if directory.is_dir() and any(directory.iterdir()) and not (directory / SUMMARY_NAME).is_file():
            raise InputError("is not empty and holds no earlier drive", str(directory), "a new folder")
        self.directory = directory
        self._partial = partial_folder(directory)
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self.bag = BagWriter(self._partial / BAG_NAME)
        self.report = ReportWriter(title, frames=frames)
        self._trajectories: list[Trajectory] = []
        self._commands: list[VehicleCommand] = []
        self._reasonings = 0
        self._dropped = 0
        self._frames = 0
        self._timings: list[dict[str, float]] = []
        self._model_ids: dict[str, str] = {}

    def __enter__(self) -> DriveRecord:
        self.bag.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.bag.__exit__(kind, error, trace)
            shutil.rmtree(self._partial, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where files of the drive are put until it has ended; it is moved to its place by `finish`."""
        return self._partial

    def add(self, given: BagFrame, output: DriverOutput, recorded: Array | None = None) -> None:
        """Take one frame's inputs and outputs; `recorded` is where the ego really went (n, 2), base_link."""
        route = None if given.route is None else given.ego.pose.inverse_transform(given.route.points)
        self.report.add(output, given.frame, given.ego, given.command, recorded, route)
        self._frames += 1
        trajectory = output.candidates.trajectory()
        if trajectory is not None:
            self._trajectories.append(trajectory)
        self._commands.append(output.command)
        self._reasonings += output.reasoning is not None
        self._timings.append(dict(output.timings))
        for stage, source in (("perception", output.tokens), ("vlm", output.embedding), ("planner", output.candidates)):
            if source is not None:
                self._model_ids[stage] = source.model_id

    def drop(self) -> None:
        """Count a frame that got no answer."""
        self._frames += 1
        self._dropped += 1

    def summary(self) -> dict[str, Any]:
        """``summary.json``'s content."""
        return {
            "frames": self._frames,
            "trajectories": len(self._trajectories),
            "commands": len(self._commands),
            "reasonings": self._reasonings,
            "dropped": self._dropped,
            "model_id": system_model_id(self._model_ids.values()),
            "outputs_sha256": outputs_sha256(self._trajectories, self._commands),
            "stages": stage_statistics(self._timings),
        }

    def finish(self, notes: Sequence[str] = ()) -> dict[str, Any]:
        """Write summary and report, close the bag and move the folder to its place; returns the summary."""
        self.bag.__exit__(None, None, None)
        summary = self.summary()
        notes = list(notes)
        untrained = [stage for stage, name in self._model_ids.items() if name.endswith(UNTRAINED)]
        if untrained:
            notes.append(
                f"Untrained weights made from a seed in: {', '.join(untrained)}. "
                "This drive shows that the system runs, not that it drives well."
            )
        self.report.write(self._partial / REPORT_NAME, summary, notes)
        write_json_atomic(self._partial / SUMMARY_NAME, summary)
        before = self.directory.with_name(f".{self.directory.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if self.directory.exists():
            self.directory.rename(before)
        self._partial.rename(self.directory)
        shutil.rmtree(before, ignore_errors=True)
        return summary


def way_driven(odometry: Sequence[Any], horizon: float = 8.0) -> Callable[[Stamp, Any], Array]:
    """A function of (stamp, pose) that tells where the ego really went within the horizon: (n, 2), base_link."""
    stamps = np.array([s.stamp for s in odometry], dtype=np.int64)
    places = np.array([(s.pose.x, s.pose.y) for s in odometry], dtype=np.float64).reshape(-1, 2)

    def ahead(stamp: Stamp, pose: Any) -> Array:
        chosen = (stamps > stamp) & (stamps <= stamp + round(horizon * 1e9))
        return np.asarray(pose.inverse_transform(places[chosen]))

    return ahead
