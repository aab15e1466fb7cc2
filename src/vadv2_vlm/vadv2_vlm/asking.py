"""Pictures from files through the pixel door: what a vision language model says of them as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from vadv2_core.camera import CameraFrame, CameraModel, CameraRig
from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.language.commands import parse_command
from vadv2_core.reasoning import Reasoning
from vadv2_core.taxonomy import EdgeCaseFlag
from vadv2_vlm.config import VlmConfig
from vadv2_vlm.reasoner import Reasoner


def frame_of(paths: Sequence[Path]) -> CameraFrame:
    """Picture files as one frame; the pixel door asks for no calibration, so that of a 90 degree camera stands in.

    Raises:
        InputError: for no picture, or a file that is none.
    """
    if not paths:
        raise InputError("no pictures", "vlm ask", "at least one")
    images = []
    for path in paths:
        try:
            images.append(np.asarray(Image.open(path).convert("RGB")))
        except (OSError, UnidentifiedImageError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not a picture"
            raise InputError(why, str(path), "a JPEG or PNG file") from None
    cameras = []
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        k = np.array([[0.5 * width, 0.0, 0.5 * width], [0.0, 0.5 * width, 0.5 * height], [0.0, 0.0, 1.0]])
        cameras.append(CameraModel(f"picture_{index}", width, height, k, np.eye(4)))
    count = len(images)
    return CameraFrame(
        0, CameraRig(tuple(cameras)), tuple(images), np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.bool_)
    )


def ask_about(paths: Sequence[Path], directory: Path | None, config: VlmConfig, text: str, speed: float) -> Reasoning:
    """What a model says of pictures.

    Args:
        paths: Picture files of one moment, front first.
        directory: As for `Reasoner`.
        config: As for `Reasoner`.
        text: The driving command in words; may be empty.
        speed: Of the ego, m/s.

    Raises:
        InputError: for a file that is no picture, or a model that does not load.
    """
    frame = frame_of(paths)
    action, distance = parse_command(text)
    ego = EgoState(0, Pose2(0.0, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0)
    return Reasoner(directory, config).reason_frame(frame, ego, DrivingCommand(0, text, action, distance))


def answer_as_mapping(reasoning: Reasoning) -> dict[str, Any]:
    """A reasoning in plain values."""
    return {
        "scene": reasoning.scene_description,
        "intent": reasoning.intent,
        "action": f"{reasoning.longitudinal.name}, {reasoning.lateral.name}",
        "cause": reasoning.cause.name,
        "trace": reasoning.trace,
        "flags": {f.name: round(float(reasoning.flag_probabilities[f]), 3) for f in EdgeCaseFlag},
        "truncated": reasoning.truncated,
        "model_id": reasoning.model_id,
    }
