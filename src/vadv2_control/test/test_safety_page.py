"""docs/safety.md says the thresholds that control has."""

from __future__ import annotations

import re
from pathlib import Path

from vadv2_control.configuration import DriveConfig, ObstacleConfig
from vadv2_core.config import parameters_of
from vadv2_core.drive import DriveState

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "safety.md").read_text()


def test_the_page_says_every_threshold_as_it_is() -> None:
    rows = dict(re.findall(r"^\| `(controller\.[a-z_.]+)` \| ([^|]+) \|", PAGE, flags=re.MULTILINE))
    kinds = (("drive", DriveConfig), ("obstacles", ObstacleConfig))
    expected = {f"controller.{name}.{p.name}": str(p.default) for name, kind in kinds for p in parameters_of(kind)}
    assert rows == expected


def test_the_page_explains_every_state() -> None:
    explained = set(re.findall(r"^\| ([A-Z_]+) \|", PAGE, flags=re.MULTILINE))
    assert explained == {state.name for state in DriveState}
