"""BDD-X (Kim et al., ECCV 2018): what the driver does and why, in words, over stretches of dashboard video.

``BDD-X-Annotations_v1.csv``: a video's address and up to fifteen stretches of start and end (s), action and
justification. There is no calibration and no motion in it: it teaches words, and pictures of one camera beside them
where the videos are there.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.language.commands import command_text
from vadv2_core.stamps import stamp_from_seconds
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction
from vadv2_training.recorded.drives import FRAME_RATE, WORDS, RecordedDrive, RecordedFrame, Words

SLOTS = 15
_LONGITUDINAL = (
    (("stopped", "stops", "stop", "parked", "waits", "waiting", "standing", "halt"), LongitudinalAction.STOP),
    (("slow", "decelerat", "brak", "yield"), LongitudinalAction.DECELERATE),
    (("accelerat", "speeds up", "starts", "picks up speed", "moves again"), LongitudinalAction.ACCELERATE),
    (("drives", "driving", "moves", "moving", "travel", "continues", "proceeds", "forward", "merg", "turn",
      "maintain", "follow", "steady"), LongitudinalAction.KEEP),
)  # fmt: skip
_LATERAL = (
    (("merges left", "changes lanes to the left", "lane to the left", "into the left lane", "left lane"),
     LateralAction.LEFT_CHANGE),
    (("merges right", "changes lanes to the right", "lane to the right", "into the right lane", "right lane"),
     LateralAction.RIGHT_CHANGE),
    (("left turn", "turns left", "turning left", "turn left"), LateralAction.LEFT_TURN),
    (("right turn", "turns right", "turning right", "turn right"), LateralAction.RIGHT_TURN),
)  # fmt: skip
_CAUSES = (
    (("light is red", "red light", "light turned red", "light turns red"), Cause.RED_LIGHT),
    (("yellow",), Cause.YELLOW_LIGHT),
    (("light is green", "green light", "light turned green", "light turns green", "light has turned"),
     Cause.GREEN_LIGHT),
    (("stop sign",), Cause.STOP_SIGN),
    (("pedestrian", "people", "crosswalk"), Cause.PEDESTRIAN),
    (("cyclist", "bicycl", "bike"), Cause.CYCLIST),
    (("construction", "road work", "cones"), Cause.CONSTRUCTION),
    (("ambulance", "fire truck", "emergency"), Cause.EMERGENCY_VEHICLE),
    (("accident", "crash"), Cause.ACCIDENT),
    (("cuts in", "cut in", "cutting in"), Cause.CUT_IN),
    (("double parked", "parked car", "stopped car", "stopped vehicle", "stalled"), Cause.STOPPED_VEHICLE),
    (("car in front", "car ahead", "traffic", "vehicle in front", "vehicle ahead", "cars in front", "cars ahead",
      "lead car", "truck in front", "truck ahead"), Cause.LEAD_VEHICLE),
    (("merg",), Cause.MERGE),
    (("curve", "bend"), Cause.CURVE),
    (("clear", "no cars", "no other cars", "no traffic", "open"), Cause.FREE_ROAD),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stretch:
    """One annotated stretch.

    Attributes:
        video: Name of the video without its ending.
        number: Which of the row's stretches, from 1.
        start, end: s.
        action, justification: As written.
    """

    video: str
    number: int
    start: float
    end: float
    action: str
    justification: str


def read_bddx(path: Path) -> list[Stretch]:
    """All stretches of an annotation file; rows and slots left empty in it are left out.

    Raises:
        InputError: for a missing column or a time that is none, naming the line and column.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(path), "BDD-X-Annotations_v1.csv") from None
    reader = csv.DictReader(text.splitlines())
    columns = set(reader.fieldnames or ())
    wanted = ["Input.Video", *(f"Answer.1{part}" for part in ("start", "end", "action", "justification"))]
    missing = next((column for column in wanted if column not in columns), None)
    if missing is not None:
        raise InputError(f"no column {missing!r}", str(path), "the columns of BDD-X-Annotations_v1.csv")
    found = []
    for row in reader:
        video = Path((row["Input.Video"] or "").strip()).stem
        for number in range(1, SLOTS + 1):
            parts = [
                (row.get(f"Answer.{number}{p}") or "").strip() for p in ("start", "end", "action", "justification")
            ]
            if not video or not all(parts):
                continue
            where = f"{path}: line {reader.line_num}"
            start, end = (
                _seconds(v, f"Answer.{number}{p}", where) for v, p in zip(parts, ("start", "end"), strict=False)
            )
            if end > start:
                found.append(Stretch(video, number, start, end, parts[2], parts[3]))
    if not found:
        raise InputError("holds no annotated stretch", str(path), "rows with start, end, action and justification")
    return found


def _seconds(value: str, column: str, where: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0.0):
        raise InputError(f"{column} is {value!r}", where, "seconds")
    return seconds


def decision_of(action: str, justification: str) -> Decision:
    """Our meta-action and cause of BDD-X's words; UNKNOWN where they name none of ours."""
    does, why = action.lower(), justification.lower()
    longitudinal = next((a for words, a in _LONGITUDINAL if any(w in does for w in words)), LongitudinalAction.UNKNOWN)
    lateral = next((a for words, a in _LATERAL if any(w in does for w in words)), LateralAction.STRAIGHT)
    cause = next((c for words, c in _CAUSES if any(w in why for w in words)), Cause.UNKNOWN)
    return Decision(longitudinal, lateral, cause)


def intent_of(stretch: Stretch) -> str:
    """One sentence: the action and its justification."""
    action = stretch.action.strip().rstrip(".")
    why = stretch.justification.strip().rstrip(".")
    joined = why if why.lower().startswith(("because", "since", "as ", "so ", "to ", "due")) else f"because {why}"
    return f"{action[:1].upper()}{action[1:]} {joined[:1].lower()}{joined[1:]}."


def _moments(stretch: Stretch, pictures: bool) -> list[float]:
    if not pictures:
        return [0.5 * (stretch.start + stretch.end)]
    return list(np.arange(stretch.start, stretch.end, 1.0 / FRAME_RATE))


def _video_pictures(path: Path, times: list[float]) -> Iterator[NDArray[np.uint8]]:
    """The picture at each time of a video, times increasing."""
    import av

    try:
        with av.open(str(path)) as video:
            wanted = iter(times)
            time = next(wanted, None)
            for picture in video.decode(video=0):
                while time is not None and picture.time is not None and picture.time >= time - 0.02:
                    yield np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
                    time = next(wanted, None)
                if time is None:
                    return
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"cannot be read: {error}".splitlines()[0], str(path), "a video") from None


def _video_of(videos: Path | None, name: str) -> Path | None:
    if videos is None:
        return None
    return next((p for ending in (".mov", ".mp4") if (p := videos / f"{name}{ending}").is_file()), None)


def bddx_drives(path: Path, rig: CameraRig, videos: Path | None = None) -> Iterator[RecordedDrive]:
    """One drive a video, of its stretches in order.

    Args:
        path: The annotations.
        rig: Its first camera stands for the dashboard's, whose calibration nobody published; the others see nothing.
        videos: Folder of ``<name>.mov``; without one, or where a video is missing in it, no camera sees anything and
            a stretch is one frame.

    Raises:
        InputError: see `read_bddx`; and for a video that cannot be read.
    """
    by_video: dict[str, list[Stretch]] = {}
    for stretch in read_bddx(path):
        by_video.setdefault(stretch.video, []).append(stretch)
    for name, stretches in by_video.items():
        stretches.sort(key=lambda s: s.start)
        film = _video_of(videos, name)
        yield RecordedDrive(f"bddx-{name}", "bddx", frozenset({WORDS}), _frames(stretches, rig, film))


def _frames(stretches: list[Stretch], rig: CameraRig, film: Path | None) -> Iterator[RecordedFrame]:
    moments = [(t, s) for s in stretches for t in _moments(s, film is not None)]
    moments.sort(key=lambda pair: pair[0])
    pictures = _video_pictures(film, [t for t, _ in moments]) if film is not None else None
    black: list[NDArray[np.uint8]] = [np.zeros((c.height, c.width, 3), dtype=np.uint8) for c in rig.cameras]
    for time, stretch in moments:
        images, valid, mounted = list(black), np.zeros(len(black), dtype=bool), rig
        if pictures is not None:
            picture = next(pictures, None)
            if picture is None:
                return
            first = rig.cameras[0].scaled(picture.shape[1], picture.shape[0])
            mounted = CameraRig((first, *rig.cameras[1:]))
            images[0], valid[0] = picture, True
        stamp = stamp_from_seconds(1.0 + time)
        frame = CameraFrame(stamp, mounted, tuple(images), np.full(len(images), stamp, dtype=np.int64), valid)
        still = EgoState(stamp, Pose2(0.0, 0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.0)
        asked = DrivingCommand(stamp, command_text(DrivingAction.LANE_FOLLOW), DrivingAction.LANE_FOLLOW)
        decision = decision_of(stretch.action, stretch.justification)
        yield RecordedFrame(frame, still, asked, decision=decision, words=Words(intent=intent_of(stretch)))
