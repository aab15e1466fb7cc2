"""The regression harness in short: made frames, untrained float32 weights, a golden log inside the package's tests.

It asks whether the code still decides as it did, not whether a model is good; weights come from a seed, so that it
needs no checkpoint and a new one does not change it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_eval.regression.compare import Comparison, compare_snapshots
from vadv2_eval.regression.run import RegressionFrame, drive_frames
from vadv2_eval.regression.snapshot import Snapshot, load_snapshot, save_snapshot

GOLDEN = Path(__file__).parents[2] / "test" / "data" / "regression_short"
FRAMES = 6
REASONED = 3
"""A reasoning in words every so many frames."""


def _snapshot() -> Snapshot:
    from vadv2_driver import Driver, DriverConfig
    from vadv2_driver.bench_frames import COMMAND, ROUTE, BenchFrames
    from vadv2_perception.configuration import PerceptionConfig
    from vadv2_planner.config import PlannerConfig
    from vadv2_vlm.config import VlmConfig

    config = DriverConfig(
        models="models-without-checkpoints",
        reason_every=REASONED,
        perception=PerceptionConfig(backend="torch", precision="float32"),
        planner=PlannerConfig(backend="torch"),
        vlm=VlmConfig(max_tokens=24, precision="float32"),
    )
    made = BenchFrames(320, 160)

    def inputs() -> Any:
        for index in range(FRAMES):
            frame, ego = made[index]
            yield RegressionFrame(frame, ego, replace(COMMAND, stamp=ego.stamp), replace(ROUTE, stamp=ego.stamp))

    snapshot, _ = drive_frames(Driver(config), inputs(), {"frames": "made", "count": FRAMES})
    return snapshot


def record_short(folder: Path) -> None:
    """Keep what is answered now; timings are of one machine and stay out."""
    snapshot = _snapshot()
    save_snapshot(folder, replace(snapshot, timings={}, calibration=0.0))


def check_short(folder: Path) -> Comparison:
    """Compare what is answered now with what was kept.

    Raises:
        InputError: for a folder that is no golden log.
    """
    golden, now = load_snapshot(folder), _snapshot()
    assert np.array_equal(golden.stamps, now.stamps), "the same made frames"
    return compare_snapshots(golden, now, timing_ratio=0.0)
