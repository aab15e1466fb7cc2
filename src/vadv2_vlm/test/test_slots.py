"""What of perception's answers stands in the slots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from vlm_scenes import scene_tokens

from vadv2_core.taxonomy import EdgeCaseFlag, Weather
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.slots import AHEAD_FEATURES, scene_slots


def test_the_row_ahead_ends_in_the_weather_and_the_flags():
    draw = np.random.default_rng(0)
    weather, flags = draw.dirichlet(np.ones(len(Weather))), draw.uniform(size=len(EdgeCaseFlag))
    plain = scene_tokens(0)
    told = replace(
        plain, ahead=replace(plain.ahead, weather=weather.astype(np.float32), flags=flags.astype(np.float32))
    )
    without, row = (scene_slots(t, SlotConfig()).ahead for t in (plain, told))
    assert row.shape == without.shape == (AHEAD_FEATURES,)
    np.testing.assert_allclose(row[-len(EdgeCaseFlag) :], flags, atol=1e-3)
    np.testing.assert_allclose(row[-len(EdgeCaseFlag) - len(Weather) : -len(EdgeCaseFlag)], weather, atol=1e-3)
    told_before = AHEAD_FEATURES - len(Weather) - len(EdgeCaseFlag)
    np.testing.assert_array_equal(row[:told_before], without[:told_before])
