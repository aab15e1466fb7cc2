"""Two bag runs side by side: paired differences with intervals, and the frames that differ most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_eval.bags.metrics import HORIZONS
from vadv2_eval.bags.report import reached, write_comparison
from vadv2_eval.bags.score import FRAMES, SUMMARY, read_frames
from vadv2_eval.intervals import paired_difference

SHOWN = 20


def compare_runs(a: Path, b: Path, out: Path) -> dict[str, Any]:
    """Compare the runs in two folders; frames are matched by bag name and stamp.

    Raises:
        InputError: for a folder that is no run, or two runs without a common frame.
    """
    rows_a, rows_b = ({(r["bag"], r["stamp"]): r for r in read_frames(run / FRAMES)} for run in (a, b))
    common = sorted(set(rows_a) & set(rows_b))
    if not common:
        raise InputError("no frame is in both", f"{a} and {b}", "runs over the same bags")
    differences: dict[str, dict[str, Any]] = {}
    for name in ("ade", "fde"):
        differences[name.upper()] = {}
        for horizon in HORIZONS:
            key = f"{horizon:g}s"
            pairs = [(rows_a[c]["errors"][name].get(key), rows_b[c]["errors"][name].get(key)) for c in common]
            whole = [(x, y) for x, y in pairs if x is not None and y is not None]
            estimate = paired_difference([x for x, _ in whole], [y for _, y in whole])
            differences[name.upper()][key] = estimate.to_json() if estimate else None
    key = reached([rows_a[c] for c in common])
    frames = []
    for c in common:
        x, y = (rows[c]["errors"]["ade"].get(key) for rows in (rows_a, rows_b))
        if x is not None and y is not None:
            row = {"bag": c[0], "stamp": c[1], "time": rows_a[c]["time"], "a": x, "b": y, "difference": y - x}
            frames.append(row)
    frames.sort(key=lambda f: -abs(f["difference"]))
    comparison = {
        "a": str(a),
        "b": str(b),
        "matched": len(common),
        "only_a": len(rows_a) - len(common),
        "only_b": len(rows_b) - len(common),
        "horizon": key,
        "differences": differences,
        "frames": frames[:SHOWN],
    }
    write_json_atomic(out / "comparison.json", comparison)
    summaries = (read_json(a / SUMMARY), read_json(b / SUMMARY))
    write_comparison(out / "comparison.html", (str(a), str(b)), summaries, comparison)
    return comparison
