"""A bag through the whole stack: in step through the nodes, at its own speed, or through the driver in this process."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.bag_topics import parse_map
from vadv2_bringup.clip import CLIP_NAME, read_clip
from vadv2_bringup.clip_to_bag import write_clip_as_bag
from vadv2_bringup.drive_record import DriveRecord
from vadv2_bringup.synthetic_clip import write_synthetic_clip
from vadv2_core.camera import load_rig
from vadv2_core.config import from_mapping
from vadv2_core.errors import InputError
from vadv2_driver.configuration import DriverConfig

GENERATED_FRAMES = 30
"""Frames of the drive that is generated where no clip is given: 3 s at 10 Hz."""
_SECTIONS = ("perception", "vlm", "planner", "control", "vehicle")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a bag is replayed; the command line's options by the same names."""

    title: str
    realtime: bool = False
    in_process: bool = False
    topic_map: tuple[str, ...] = ()
    rig: Path | None = None
    model: str = "tiny"
    models: Path = Path("models")
    frames: int | None = None
    max_tokens: int = 96
    timeout: float = 60.0
    settings: tuple[str, ...] = ()


def setting_values(settings: Iterable[str]) -> dict[str, Any]:
    """``--set`` arguments ``STAGE.NAME=VALUE`` by name, values as YAML reads them.

    Raises:
        InputError: for an argument of another form.
    """
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name.split(".")[0] not in _SECTIONS:
            raise InputError(f"{setting!r}", "--set", f"STAGE.NAME=VALUE with STAGE one of {', '.join(_SECTIONS)}")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"{text!r} is no value", f"--set {name}", "a number, word or list") from None
    return values


def driver_config(options: ReplayOptions) -> DriverConfig:
    """The configuration of a replay: words for every frame, bounded in tokens and not in time, engaged by itself.

    Raises:
        InputError: for a setting that is unknown or out of range.
    """
    values: dict[str, Any] = {"model": options.model, "models": str(options.models)}
    values["vlm.max_tokens"], values["vlm.max_seconds"] = options.max_tokens, 0.0
    values["control.drive.engage_automatically"] = True
    values["reason_every"] = 1
    values.update(setting_values(options.settings))
    return from_mapping(DriverConfig, values, "--set")


def clip_bag(clip: Path | None, path: Path, seed: int = 7) -> tuple[Path, str]:
    """The bag of a clip, made anew where the clip changed; of a generated drive where none is given.

    Args:
        clip: Clip folder.
        path: The bag's folder.
        seed: Of the generated drive.

    Returns:
        The bag and a title.
    """
    if clip is None:
        clip = Path(".vadv2") / "clips" / f"synthetic_{seed}_{GENERATED_FRAMES}"
        if not (clip / CLIP_NAME).is_file():
            with progress_bar("drawing the drive", GENERATED_FRAMES) as advance:
                write_synthetic_clip(clip, seed=seed, frames=GENERATED_FRAMES, progress=advance)
    read = read_clip(clip)
    mark = hashlib.sha256((clip / CLIP_NAME).read_bytes() + str(clip.resolve()).encode()).hexdigest()
    marker = path.with_name(f"{path.name}.sha256")
    if not (path.is_dir() and marker.is_file() and marker.read_text() == mark):
        shutil.rmtree(path, ignore_errors=True)
        with progress_bar("clip to bag", len(read.frames)) as advance:
            write_clip_as_bag(read, path, progress=advance)
        marker.write_text(mark)
    return path, read.name


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; the value advances it by one."""
    from rich.console import Console

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def replay(bag: Path, out: Path, options: ReplayOptions) -> dict[str, Any]:
    """Replay a bag and leave bag, summary and report in a folder.

    Args:
        bag: The input.
        out: The folder to make.
        options: How.

    Returns:
        The summary.

    Raises:
        InputError: for a bag, rig, model or parameter that cannot be used; `out` is then left as it was.
    """
    mapping = parse_map(options.topic_map)
    config = driver_config(options)
    rig = load_rig(options.rig) if options.rig else None
    with BagReader(bag, mapping, rig) as reader:
        anchor = next(iter(reader.topics.images.values()))
        frames = next(t.count for t in reader.info() if t.topic == anchor)
        total = min(frames, options.frames or frames)
        # What is wrong with the bag is said before anything is started.
        reader.check()
        reader.odometry()
        with DriveRecord(out, options.title, frames=total) as record, progress_bar("driving", total) as advance:
            if options.in_process:
                from vadv2_bringup.replay_in_process import replay_in_process
                from vadv2_driver import Driver

                replay_in_process(reader, Driver(config), record, limit=options.frames, progress=advance)
            else:
                from vadv2_bringup.replay_over_topics import replay_over_topics

                replay_over_topics(reader, config, record, options, progress=advance)
            return record.finish()
