"""DriveLM's graph of questions (OpenDriveLab/DriveLM, ``v1_1_train_nus.json``), joined to nuScenes by its tokens.

A file maps scene tokens to a description and key frames; a key frame, named by its nuScenes sample token, holds the
objects that matter and questions of perception, prediction, planning and behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_training.recorded.drives import WORDS, RecordedDrive, RecordedFrame, Words
from vadv2_training.recorded.nuscenes import NuScenesTables, nuscenes_drive

CATEGORIES = ("perception", "prediction", "planning", "behavior")
_TAG = re.compile(r"<c\d+,CAM_[A-Z_]+,[\d.]+,[\d.]+>")
_STEERING = (
    ("slightly steering", LateralAction.STRAIGHT),
    ("going straight", LateralAction.STRAIGHT),
    ("steering to the left", LateralAction.LEFT_TURN),
    ("steering to the right", LateralAction.RIGHT_TURN),
)
_LAMPS = (
    ("red light", Cause.RED_LIGHT),
    ("yellow light", Cause.YELLOW_LIGHT),
    ("stop sign", Cause.STOP_SIGN),
    ("green light", Cause.GREEN_LIGHT),
)
_PEOPLE = (("pedestrian", Cause.PEDESTRIAN), ("cyclist", Cause.CYCLIST), ("bicycle", Cause.CYCLIST))
_HOLDS = ("stop", "brake", "decelerate", "slow down", "remain")


@dataclass(frozen=True, slots=True)
class DriveLmFrame:
    """What DriveLM says of a key frame.

    Attributes:
        words: Description, behaviour, the chain of objects and planning, and all questions.
        behaviour: Lateral action, and whether the ego stands.
        cause: Dominant cause, UNKNOWN where the graph names none.
        front_stamp: Exposure of the front picture, from its file's name, ns; 0 where it has none.
    """

    words: Words
    behaviour: tuple[LateralAction, bool]
    cause: Cause
    front_stamp: Stamp


def _pairs(entry: Mapping[str, Any], where: str) -> list[tuple[str, str, str]]:
    asked = entry.get("QA")
    if not isinstance(asked, dict):
        raise InputError("no 'QA'", where, "a mapping of perception, prediction, planning, behavior")
    found = []
    for category in CATEGORIES:
        for number, pair in enumerate(asked.get(category, ())):
            if not isinstance(pair, dict) or not all(isinstance(pair.get(key), str) for key in ("Q", "A")):
                raise InputError(f"{category} question {number} has no Q or A", where, "two texts")
            found.append((category, pair["Q"].strip(), pair["A"].strip()))
    return found


def behaviour_of(answer: str) -> tuple[LateralAction, bool]:
    """What an answer about the ego's behaviour says: lateral action, and whether it stands."""
    text = answer.lower()
    lateral = next((action for words, action in _STEERING if words in text), LateralAction.UNKNOWN)
    return lateral, "not moving" in text


def _objects(entry: Mapping[str, Any], where: str) -> dict[str, str]:
    infos = entry.get("key_object_infos", {})
    if not isinstance(infos, dict):
        raise InputError("key_object_infos is no mapping", where, "objects by their tag")
    return {str(tag): str((info or {}).get("Visual_description") or "object") for tag, info in infos.items()}


def _chain(objects: Mapping[str, str], pairs: list[tuple[str, str, str]]) -> tuple[str, dict[str, str]]:
    """The trace: each object that is to be considered and what follows from it; and the actions by object."""
    considered: set[str] = set()
    actions: dict[str, str] = {}
    for category, question, answer in pairs:
        tag = _TAG.search(question)
        if category != "planning" or tag is None:
            continue
        if "should consider" in question and answer.lower().startswith("yes"):
            considered.add(tag.group())
        if question.startswith("What actions could the ego vehicle take"):
            actions[tag.group()] = answer
    steps: list[str] = []
    for name, described in objects.items():
        if name in considered and name in actions:
            steps.append(f"{len(steps) + 1}. {described.rstrip('.').lower()}: {_TAG.sub('it', actions[name])}")
    return " ".join(steps), actions


def cause_of(objects: Mapping[str, str], actions: Mapping[str, str], standing: bool) -> Cause:
    """The dominant cause a graph of one frame argues for; lamps and signs before people before vehicles."""
    holds = standing or any(word in text.lower() for text in actions.values() for word in _HOLDS)
    described = [text.lower() for text in objects.values()]
    for words, cause in _LAMPS:
        if any(words in text for text in described) and (holds or cause is Cause.GREEN_LIGHT):
            return cause
    for words, cause in _PEOPLE:
        if holds and any(words in text for text in described):
            return cause
    if holds and any("distance" in text or "collision" in text for text in actions.values()):
        return Cause.LEAD_VEHICLE
    return Cause.UNKNOWN


def read_drivelm(path: Path) -> dict[str, dict[str, DriveLmFrame]]:
    """Key frames by sample token, by scene token.

    Raises:
        InputError: for a file of another form, naming scene, frame and field.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise InputError("holds no scenes", str(path), "a DriveLM file: scene token to key_frames")
    scenes: dict[str, dict[str, DriveLmFrame]] = {}
    for scene, value in data.items():
        frames = value.get("key_frames") if isinstance(value, dict) else None
        if not isinstance(frames, dict):
            raise InputError(f"scene {scene} has no 'key_frames'", str(path), "key frames by sample token")
        description = str(value.get("scene_description") or "")
        scenes[scene] = {token: _frame(entry, description, f"{path}: frame {token}") for token, entry in frames.items()}
    return scenes


def _frame(entry: Any, description: str, where: str) -> DriveLmFrame:
    if not isinstance(entry, dict):
        raise InputError("is no record", where, "QA, key_object_infos and image_paths")
    pairs, objects = _pairs(entry, where), _objects(entry, where)
    behaviour = next((answer for category, _, answer in pairs if category == "behavior"), "")
    trace, actions = _chain(objects, pairs)
    lateral, standing = behaviour_of(behaviour)
    front = str((entry.get("image_paths") or {}).get("CAM_FRONT", ""))
    micro = re.search(r"__(\d{10,})\.", front)
    words = Words(description, behaviour, trace, questions=tuple((q, a) for _, q, a in pairs))
    cause = cause_of(objects, actions, standing)
    return DriveLmFrame(words, (lateral, standing), cause, int(micro.group(1)) * 1000 if micro else 0)


def with_words(frame: RecordedFrame, said: DriveLmFrame | None) -> RecordedFrame:
    """A frame with what DriveLM says of it; how fast it goes is taken from its motion where that is known."""
    if said is None:
        return frame
    driven = frame.decision or Decision(LongitudinalAction.UNKNOWN, LateralAction.UNKNOWN, Cause.UNKNOWN)
    lateral, standing = said.behaviour
    longitudinal = driven.longitudinal
    if longitudinal is LongitudinalAction.UNKNOWN and standing:
        longitudinal = LongitudinalAction.STOP
    decision = Decision(longitudinal, driven.lateral or lateral, said.cause)
    return replace(frame, words=said.words, decision=decision)


def drivelm_drives(tables: NuScenesTables, path: Path) -> Iterator[RecordedDrive]:
    """Every scene of a DriveLM file with its nuScenes pictures, boxes and motion.

    Raises:
        InputError: for a scene or frame that the tables do not have, naming its token.
    """
    spoken = read_drivelm(path)
    scenes = {str(scene["token"]): scene for scene in tables.scenes}
    for token, frames in spoken.items():
        if token not in scenes:
            raise InputError(f"scene {token} is not in the tables", str(path), str(tables.folder / "scene.json"))
        missing = next((frame for frame in frames if frame not in tables.samples), None)
        if missing is not None:
            raise InputError(f"frame {missing} is not in the tables", str(path), str(tables.folder / "sample.json"))
        drive = nuscenes_drive(tables, scenes[token])
        keys = [str(key["token"]) for key in tables.frames_of(scenes[token])]
        joined = (with_words(f, frames.get(key)) for f, key in zip(drive.frames, keys, strict=True))
        name = f"{drive.name}-drivelm"
        yield RecordedDrive(name, "drivelm", drive.knows | {WORDS}, joined, drive.track, drive.others)
