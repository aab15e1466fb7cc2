"""``./vadv2 rig check``: does the calibration fit what the cameras see?"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_bringup.clip import CLIP_NAME, Clip, read_clip, read_image
from vadv2_bringup.rig_fit import CameraFinding, fit_mountings
from vadv2_bringup.rig_matches import RayPairs, motion_pairs, neighbour_pairs
from vadv2_bringup.rig_picture import draw_rig
from vadv2_core.camera import CameraRig, load_rig
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_core.geometry import Array
from vadv2_core.odometry import carried
from vadv2_core.stamps import seconds_between

_MOMENTS = 6
_MOTION_WITHIN = 0.6
"""Frames further apart than this, s, hardly share points."""


def _images_in(folder: Path, rig: CameraRig) -> list[NDArray[np.uint8]]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = []
    for camera in rig.cameras:
        longer = [n for n in rig.names if n != camera.name and n.startswith(camera.name)]
        mine = [f for f in files if f.stem.startswith(camera.name) and not any(f.stem.startswith(n) for n in longer)]
        if not mine:
            raise InputError(f"no image of camera {camera.name!r}", str(folder), f"{camera.name}*.jpg or .png")
        images.append(read_image(mine[0], (camera.width, camera.height)))
    return images


def _clip_images(clip: Clip, i: int, rig: CameraRig) -> list[NDArray[np.uint8]]:
    return [read_image(clip.frames[i].images[c.name], (c.width, c.height)) for c in rig.cameras]


def _clip_pairs(clip: Clip, rig: CameraRig) -> tuple[list[NDArray[np.uint8]], list[RayPairs]]:
    """The first moment's images, and ray pairs of evenly chosen moments."""
    chosen = sorted(set(np.linspace(0, len(clip.frames) - 1, min(_MOMENTS, len(clip.frames))).round().astype(int)))
    pairs: list[RayPairs] = []
    first: list[NDArray[np.uint8]] = []
    for i in chosen:
        frame, images = clip.frames[i], _clip_images(clip, int(i), rig)
        first = first or images
        moved: list[Array] = []
        for name in rig.names:
            there = frame.ego.pose.relative(carried(frame.ego, frame.stamps[name]).pose)
            moved.append(np.array([there.x, there.y, 0.0]))
        pairs += neighbour_pairs(rig, images, moved)
    for a, b in itertools.pairwise(range(len(clip.frames))):
        close = seconds_between(clip.frames[a].stamp, clip.frames[b].stamp) <= _MOTION_WITHIN
        if close and (a in chosen or len(clip.frames) <= _MOMENTS):
            step = clip.frames[a].ego.pose.relative(clip.frames[b].ego.pose)
            pairs += motion_pairs(rig, _clip_images(clip, a, rig), _clip_images(clip, b, rig), step)
    return first, pairs


def check_rig(source: Path, rig_file: Path | None, out: Path) -> list[CameraFinding]:
    """Hold a rig against images and draw it over them.

    Args:
        source: A clip folder, or a folder with one image a camera named after it.
        rig_file: The rig to check; None takes the clip's own.
        out: Picture to write (PNG).

    Returns:
        One finding a camera, in the rig's order.

    Raises:
        InputError: for missing images, a wrong size or no calibration.
    """
    if not source.is_dir():
        raise InputError("is not there", str(source), "a clip folder or a folder of images")
    if (source / CLIP_NAME).is_file():
        clip = read_clip(source)
        rig = load_rig(rig_file) if rig_file else clip.rig
        missing = [n for n in rig.names if n not in clip.rig.names]
        if missing:
            raise InputError(f"camera {missing[0]!r} is not in the clip", str(rig_file), str(clip.rig.names))
        images, pairs = _clip_pairs(clip, rig)
    elif rig_file is None:
        raise InputError("no clip.json and no --rig", str(source), "a clip folder, or --rig FILE")
    else:
        rig = load_rig(rig_file)
        images = _images_in(source, rig)
        pairs = neighbour_pairs(rig, images, [np.zeros(3) for _ in images])
    findings = fit_mountings(rig, pairs)
    picture = draw_rig(rig, images, {f.name: f.wrong for f in findings})
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    write_bytes_atomic(out, encoded.tobytes())
    return findings


def in_words(finding: CameraFinding) -> str:
    """A finding as one line."""
    if not finding.matches:
        return f"{finding.name}: nothing to compare it with (no overlap, no motion)"
    turn = max((("roll", finding.roll), ("pitch", finding.pitch), ("yaw", finding.yaw)), key=lambda p: abs(p[1]))
    line = f"{finding.name}: {finding.matches} points, {finding.error_before:.2f} deg off"
    if finding.wrong:
        mended = f"turned by {turn[1]:+.1f} deg it would be {finding.error_after:.2f} deg off"
        return f"{line}; LOOKS WRONG, mostly {turn[0]}: {mended}"
    untold = f"; its {' and '.join(finding.untold)} cannot be told from these pictures" if finding.untold else ""
    return f"{line}, fits (within {finding.angle:.1f} deg){untold}"


def print_findings(
    findings: Sequence[CameraFinding], out: Path, json_path: Path | None, say: Callable[[str], None]
) -> None:
    """Say the findings, the worst last, and where the picture is."""
    for finding in sorted(findings, key=lambda f: f.angle):
        say(in_words(finding))
    wrong = [f.name for f in findings if f.wrong]
    say(f"extrinsic that looks wrong: {', '.join(wrong)}" if wrong else "no extrinsic looks wrong")
    say(f"picture {out}")
    if json_path is not None:
        rows = [{**dataclasses.asdict(f), "angle": f.angle} for f in findings]
        write_json_atomic(json_path, {"wrong": wrong, "cameras": rows})
