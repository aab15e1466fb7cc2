"""Reading open-loop samples from .npz, writing the metrics beside them, and the table for people."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_eval.open_loop.conventions import OpenLoopSamples, aggregate, case_metrics
from vadv2_eval.open_loop.grid import CELLS, Mask, Raster
from vadv2_eval.open_loop.rasterise import draw_futures, draw_vad_futures

_BROKEN = (
    OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, RuntimeError, NotImplementedError, SyntaxError,
    struct.error, zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip
"""What zip, zlib and the headers of arrays end in where their bytes are broken (an encrypted member among them)."""

GRID_KEYS = {Raster.UNIAD: "uniad_seg_bits", Raster.STP3: "stp3_seg_bits", Raster.VAD: "vad_occ_bits"}


def _array(arrays: Any, key: str, shape: tuple[int | str, ...], where: str) -> NDArray[Any]:
    expected = f"an array {key!r} of shape ({', '.join(map(str, shape))})"
    if key not in arrays.files:
        raise InputError(f"key {key!r} is missing", where, expected)
    try:
        value = np.asarray(arrays[key])
    except _BROKEN as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{key} cannot be read: {why}", where, expected) from None
    fits = value.ndim == len(shape) and all(
        isinstance(w, str) or w == h for w, h in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise InputError(f"{key} has the shape {value.shape}", where, expected)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        row = int(np.argwhere(~np.isfinite(value))[0][0])
        raise InputError(f"{key} is not finite in case {row}", where, "finite numbers")
    if value.dtype.kind not in "biuf":
        raise InputError(f"{key} is of type {value.dtype}", where, "numbers")
    return value


def read_samples(path: Path) -> OpenLoopSamples:
    """Samples of an .npz in the case format; grids that are not in the file are drawn from the boxes.

    Raises:
        InputError: naming the key, what it holds and what was expected.
    """
    where = str(path)
    try:
        arrays = np.load(path, allow_pickle=False)
        arrays.files  # noqa: B018  a plain .npy has no members
    except (*_BROKEN, AttributeError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"cannot be read: {why}", where, "an .npz file") from None
    with arrays:
        pred = _array(arrays, "pred", ("cases", "steps", 2), where).astype(np.float32)
        n, steps = pred.shape[:2]
        if n == 0 or steps == 0:
            raise InputError(f"pred has the shape {pred.shape}", where, "at least one case and one step")
        gt = _array(arrays, "gt", (n, steps, 2), where).astype(np.float32)
        gt_mask = _array(arrays, "gt_mask", (n, steps, 2), where).astype(np.float32)
        there = _array(arrays, "fut_box_mask", (n, steps, "agents"), where).astype(bool)
        boxes = _array(arrays, "fut_boxes", (n, steps, there.shape[2], 5), where).astype(np.float64)
        valid = _array(arrays, "fut_valid", (n,), where).astype(bool)
        grids = {}
        for raster, key in GRID_KEYS.items():
            if key in arrays.files:
                bits = _array(arrays, key, (n, steps, CELLS, CELLS // 8), where)
                grids[raster] = np.unpackbits(bits.astype(np.uint8), axis=-1).astype(bool)
            else:
                grids[raster] = _drawn(arrays, raster, boxes, there, gt_mask, where)
    return OpenLoopSamples(pred, gt, gt_mask, valid, boxes, there, grids)


def _drawn(arrays: Any, raster: Raster, boxes: Any, there: Mask, gt_mask: Any, where: str) -> Mask:
    n, steps, agents = there.shape
    if raster is Raster.VAD:
        now = _array(arrays, "vad_boxes", (n, agents, 9), where).astype(np.float64)
        features = _array(arrays, "vad_feats", (n, agents, 34), where).astype(np.float64)
        return np.stack([draw_vad_futures(now[i], features[i], steps) for i in range(n)])
    classes = _array(arrays, "agent_cls", (n, agents), where)
    exists = gt_mask[..., 0] > 0
    return np.stack([draw_futures(boxes[i], there[i], classes[i], exists[i], raster) for i in range(n)])


def score_npz(path: Path, out: Path | None) -> tuple[OpenLoopSamples, dict[str, NDArray[Any]]]:
    """The samples of a file and all their ``exp_`` and ``agg_`` quantities, written to ``out`` (.npz)."""
    samples = read_samples(path)
    cases = case_metrics(samples)
    result = cases | aggregate(cases, samples.fut_valid)
    if out is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **result)
        write_bytes_atomic(out, buffer.getvalue())
    return samples, result
