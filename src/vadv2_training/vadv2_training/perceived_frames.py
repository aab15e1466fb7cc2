"""What a trained perception says of cached frames: the reasoner's slots, kept beside the frames they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load, save

from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.geometry import Array, Pose2
from vadv2_core.tokens import SceneTokens
from vadv2_perception.answers import ahead_in_words, map_in_words, objects_in_words
from vadv2_perception.encoder import elements_above, objects_above
from vadv2_perception.halves import ANSWER_NAMES
from vadv2_perception.model import SceneModel
from vadv2_training.driving_module import SCENE_KEYS, SeenFrames, see
from vadv2_training.frame_store import FrameStore, Window
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.slots import AHEAD_FEATURES, WAY_FEATURES, SceneSlots, scene_slots

_CHUNK = 16
"""New frames that are perceived at a time; the frames of the history before them are perceived again."""


def ego_states(rows: dict[str, torch.Tensor]) -> list[EgoState]:
    """The ego of every cached frame."""
    states = []
    for i in range(len(rows["stamps"])):
        speed, acceleration, yaw_rate, steering = (float(v) for v in rows["aux"][i])
        x, y, yaw = (float(v) for v in rows["pose"][i])
        states.append(
            EgoState(
                int(rows["stamps"][i]),
                Pose2(x, y, yaw),
                (speed, float(rows["velocity"][i, 1])),
                (acceleration, float(rows["acceleration"][i, 1])),
                yaw_rate,
                steering,
            )
        )
    return states


def scene_tokens(seen: SeenFrames, index: int, ego: EgoState, threshold: float, encoder_hash: str) -> SceneTokens:
    """One frame of a batch as the road will see it.

    Args:
        seen: Of `see`.
        index: Which frame.
        ego: Its ego.
        threshold: `PerceptionConfig.confidence_threshold`.
        encoder_hash: Of the encoder.
    """
    output = seen.output
    answers = {name: getattr(output.answers[-1], name)[index].float().cpu().numpy() for name in ANSWER_NAMES}
    objects, object_order = objects_in_words(answers)
    elements, map_order = map_in_words(answers)
    n, m = len(object_order), len(map_order)
    order = np.concatenate([object_order, n + map_order, [n + m]])

    def half(values: torch.Tensor) -> NDArray[np.float16]:
        return np.asarray(values[index].float().cpu().numpy().astype(np.float16))

    cameras = seen.rig.valid.shape[1]
    return SceneTokens(
        stamp=ego.stamp,
        tokens=half(output.tokens),
        queries=half(output.queries)[order],
        objects=objects_above(objects, threshold),
        map=elements_above(elements, threshold),
        aux=half(output.aux),
        ego=ego,
        k=seen.k[index].double().cpu().numpy(),
        t_base_camera=seen.rig.t_base_camera[index].double().cpu().numpy(),
        camera_stamps=np.full(cameras, ego.stamp, dtype=np.int64),
        t_anchor_camera_time=np.repeat(np.eye(3)[None], cameras, 0),
        camera_valid=seen.rig.valid[index].cpu().numpy() > 0,
        novelty=0.0,
        encoder_hash=encoder_hash,
        model_id="",
        ahead=ahead_in_words(answers),
    )


def perceive(
    model: SceneModel, store: FrameStore, shard: int, encoder_hash: str
) -> Iterator[tuple[SceneTokens, Array | None]]:
    """Every frame of a shard in order, each with its past, and the route ahead of it; None where none is known."""
    model.eval()
    count = store.count(shard)
    warm = len(model.config.history_ages) + 1
    for start in range(0, count, _CHUNK):
        first = max(start - warm, 0)
        window = Window(shard, first, min(start + _CHUNK, count) - first)
        rows = store.read(window, (*SCENE_KEYS, "velocity", "acceleration", "route", "route_valid"))
        with torch.no_grad():
            seen = see(model, {key: value[None].float() if value.dtype is torch.bfloat16 else value[None]
                               for key, value in rows.items()})  # fmt: skip
        states = ego_states(rows)
        for index in range(start - first, window.count):
            route = rows["route"][index].double().numpy() if float(rows["route_valid"][index]) else None
            yield scene_tokens(seen, index, states[index], 0.3, encoder_hash), route


def write_slots(
    model: SceneModel, store: FrameStore, directory: Path, config: SlotConfig, encoder_hash: str
) -> Iterator[int]:
    """Perceive every shard that has no slots of this encoder yet; yields the number of shards done."""
    made = {"encoder": encoder_hash, "ahead": str(AHEAD_FEATURES), "way": str(WAY_FEATURES)}
    for done, shard in enumerate(store.shards_in_turn(), start=1):
        path = directory / f"{store.names[shard]}.safetensors"
        if made_of(path) != made:
            slots = [
                scene_slots(tokens, config, route) for tokens, route in perceive(model, store, shard, encoder_hash)
            ]
            arrays = {f.name: np.stack([getattr(s, f.name) for s in slots]) for f in fields(SceneSlots)}
            write_bytes_atomic(path, save(arrays, made))
        yield done


def made_of(path: Path) -> dict[str, str] | None:
    """What a kept file says that it was made of; None where there is no file."""
    if not path.exists():
        return None
    with safe_open(path, framework="np") as file:
        return dict(file.metadata() or {})


def read_slots(directory: Path, name: str) -> list[SceneSlots]:
    """The slots of a shard, one a frame.

    Raises:
        InputError: where there are none, or those of another token door.
    """
    path = directory / f"{name}.safetensors"
    if not path.exists():
        raise InputError("no such file", str(path), "the slots of `vadv2 train --until perceive`")
    arrays = load(path.read_bytes())
    for part, width in (("ahead", AHEAD_FEATURES), ("way", WAY_FEATURES)):
        shape = arrays[part].shape[1:] if part in arrays else ()
        if shape != (width,):
            raise InputError(f"{part} is {shape}", str(path), f"({width},), slots made anew")
    count = len(arrays["ego"])
    return [SceneSlots(*(arrays[f.name][i] for f in fields(SceneSlots))) for i in range(count)]
