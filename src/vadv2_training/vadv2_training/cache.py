"""Filling a frame store from a recording, by several processes, from where it was killed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadv2_core.camera import load_rig
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_training.drives import drive_paths, load_drive, town_maps
from vadv2_training.rendering import VariationConfig, openvino_backbone, render_drive

_WORKER: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CacheOrder:
    """What a store is filled from.

    Attributes:
        recording: Folder of scene logs.
        store: Folder of the store.
        rig: Rig file; its cameras are scaled to the network's size.
        encoder: Mapping of the encoder's config: which backbone, which image size.
        variation: Mapping of how much every drive is varied.
        variants: Renderings of every drive.
    """

    recording: Path
    store: Path
    rig: Path
    encoder: dict[str, Any]
    variation: dict[str, Any]
    variants: int = 1


def _begin(order: CacheOrder) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    from vadv2_perception.model import SceneModel

    torch.set_num_threads(1)
    encoder = from_mapping(EncoderModelConfig, order.encoder)
    model = SceneModel(encoder, pretrained=True).eval()
    rig = load_rig(order.rig).scaled(encoder.image_width, encoder.image_height)
    _WORKER.update(
        order=order,
        maps=town_maps(order.recording),
        rig=rig,
        grid=encoder.grid,
        backbone=openvino_backbone(model, len(rig.cameras), encoder.image_height, encoder.image_width),
        variation=from_mapping(VariationConfig, order.variation),
    )


def _render(job: tuple[str, int]) -> tuple[str, str]:
    path, variant = job
    order: CacheOrder = _WORKER["order"]
    drive = load_drive(Path(path), order.recording, _WORKER["maps"])
    if drive is None:
        return path, ""
    w = _WORKER
    name = render_drive(
        drive, order.store, w["rig"], w["grid"], w["backbone"], VehicleConfig(), w["variation"], variant
    )
    return path, name


def fill(order: CacheOrder, workers: int = 2, limit: int | None = None) -> Iterator[tuple[int, int, str]]:
    """Render every drive of a recording that is not in the store yet.

    Args:
        order: From what.
        workers: Processes.
        limit: Drives at most; None for all.

    Yields:
        Jobs done, jobs in all, and the shard's name (empty where the expert failed in the drive).

    Raises:
        InputError: for a store made with other settings, a held-out town, or an unreadable log.
    """
    told = {
        "version": 1,
        "encoder": order.encoder,
        "variation": order.variation,
        "rig": order.rig.name,
    }
    facts = order.store / "store.json"
    if facts.exists() and read_json(facts) != told:
        raise InputError("was filled with other settings", str(order.store), "the same ones, or a new folder")
    write_json_atomic(facts, told)
    paths = drive_paths(order.recording)[:limit]
    jobs = [(str(path), variant) for variant in range(order.variants) for path in paths]
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (order,)) as pool:
        for done, (_, name) in enumerate(pool.imap_unordered(_render, jobs), start=1):
            yield done, len(jobs), name


def encoder_mapping(config: EncoderModelConfig) -> dict[str, Any]:
    """What of an encoder's config a cached backbone output depends on."""
    values = to_mapping(config)
    return {key: values[key] for key in ("backbone", "image_width", "image_height", "token_stride")}
