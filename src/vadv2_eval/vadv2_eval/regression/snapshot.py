"""What a run decided, stage by stage, as arrays over frames and texts: small enough to keep, exact enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic
from vadv2_core.geometry import Array

FORMAT = 1
SAMPLES = 256
"""Elements kept of a large tensor, at the same random places every frame."""
KNOT_STRIDE = 5
ARRAYS, HEADER = "golden.safetensors", "golden.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run.

    Attributes:
        stamps: (n,) ns.
        arrays: ``stage/field`` to (n, ...) values; NaN where a frame has none.
        texts: ``stage/field`` to n texts.
        timings: Stage to (n,) ms.
        calibration: Seconds of the calibration loop on the machine that ran it.
        about: Source, model ids and options, in words.
    """

    stamps: NDArray[np.int64]
    arrays: dict[str, NDArray[Any]]
    texts: dict[str, list[str]]
    timings: dict[str, Array]
    calibration: float
    about: dict[str, Any]


def calibration_seconds(repeats: int = 5) -> float:
    """Best time of a fixed loop of small matrix products: the unit that timings are compared in."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((160, 160)).astype(np.float32) for _ in range(2))
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(60):
            a = np.tanh(a @ b * 0.05)
        best = min(best, time.perf_counter() - start)
    return float(best)


def _sample(values: NDArray[Any]) -> Array:
    flat = np.asarray(values, dtype=np.float64).ravel()
    if len(flat) <= SAMPLES:
        return flat
    return flat[np.random.default_rng(len(flat)).choice(len(flat), SAMPLES, replace=False)]


def _fields(output: Any) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """One `DriverOutput` as arrays and texts."""
    arrays: dict[str, NDArray[Any]] = {}
    texts: dict[str, str] = {}
    if output.tokens is not None:
        t = output.tokens
        arrays["perception/tokens"], arrays["perception/queries"] = _sample(t.tokens), _sample(t.queries)
        arrays["perception/objects"] = np.asarray(t.objects.boxes[:8], dtype=np.float64).ravel()
        arrays["perception/novelty"] = np.array([t.novelty], dtype=np.float64)
        arrays["perception/cameras_valid"] = np.asarray(t.camera_valid, dtype=np.float64)
    if output.embedding is not None:
        arrays["vlm/embedding"] = np.asarray(output.embedding.embedding, dtype=np.float64)
    if output.reasoning is not None:
        r = output.reasoning
        arrays["vlm/flags"] = np.asarray(r.flag_probabilities, dtype=np.float64)
        arrays["vlm/actions"] = np.array([r.longitudinal, r.lateral, r.cause], dtype=np.float64)
        texts |= {"vlm/description": r.scene_description, "vlm/intent": r.intent, "vlm/trace": r.trace}
    c = output.candidates
    arrays["planner/points"] = c.points[:, KNOT_STRIDE - 1 :: KNOT_STRIDE, 1:].ravel()
    arrays["planner/confidences"] = np.asarray(c.confidences, dtype=np.float64)
    arrays["planner/chosen"] = np.array([-1 if c.chosen is None else c.chosen], dtype=np.float64)
    texts |= {"planner/reason": c.reason, "planner/degraded": "; ".join(c.degraded)}
    k = output.command
    arrays["control/command"] = np.array([k.steering_angle, k.steering_rate, k.acceleration, k.speed])
    arrays["control/state"] = np.array([float(output.status.state)])
    texts["control/cause"] = output.status.cause
    return arrays, texts


def take_snapshot(outputs: Sequence[Any], calibration: float, about: dict[str, Any]) -> Snapshot:
    """The snapshot of a run's `DriverOutput`s.

    Raises:
        InputError: for a run without a frame.
    """
    if not outputs:
        raise InputError("no frame was driven", "regression", "a bag with at least one whole frame")
    rows = [_fields(o) for o in outputs]
    arrays: dict[str, NDArray[Any]] = {}
    for name in sorted({k for a, _ in rows for k in a}):
        size = max(len(a[name]) for a, _ in rows if name in a)
        whole = np.full((len(rows), size), np.nan)
        for i, (a, _) in enumerate(rows):
            if name in a:
                whole[i, : len(a[name])] = a[name]
        arrays[name] = whole
    names = sorted({k for _, t in rows for k in t})
    texts = {name: [t.get(name, "") for _, t in rows] for name in names}
    stages = sorted({s for o in outputs for s in o.timings})
    timings = {s: np.array([o.timings.get(s, np.nan) for o in outputs]) for s in stages}
    return Snapshot(np.array([o.stamp for o in outputs], dtype=np.int64), arrays, texts, timings, calibration, about)


def save_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write a golden folder; the header last, so that a folder with a header is whole."""
    tensors = {"stamps": snapshot.stamps, **{f"value/{k}": v for k, v in snapshot.arrays.items()}}
    tensors |= {f"timing/{k}": v for k, v in snapshot.timings.items()}
    write_bytes_atomic(folder / ARRAYS, save({k: np.ascontiguousarray(v) for k, v in tensors.items()}))
    header = {"format": FORMAT, "about": snapshot.about, "calibration": snapshot.calibration, "texts": snapshot.texts}
    write_json_atomic(folder / HEADER, header)


def load_snapshot(folder: Path) -> Snapshot:
    """Read a golden folder.

    Raises:
        InputError: for a folder that is not one, or one of another version.
    """
    header = read_json(folder / HEADER)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError("is of another version", str(folder / HEADER), f"format {FORMAT}; record it again")
    try:
        tensors = load((folder / ARRAYS).read_bytes())
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"cannot be read: {str(error).splitlines()[0]}", str(folder / ARRAYS), "a golden log"
        ) from None
    return Snapshot(
        tensors["stamps"],
        {k.removeprefix("value/"): v for k, v in tensors.items() if k.startswith("value/")},
        header["texts"],
        {k.removeprefix("timing/"): v for k, v in tensors.items() if k.startswith("timing/")},
        float(header["calibration"]),
        header["about"],
    )
