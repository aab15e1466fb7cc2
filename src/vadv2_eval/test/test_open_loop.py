"""All public open-loop cases in the four conventions, and the traps the conventions set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_eval import cli
from vadv2_eval.open_loop.conventions import aggregate, case_metrics
from vadv2_eval.open_loop.grid import CELLS, Raster, footprint, footprint_hits, point_hits
from vadv2_eval.open_loop.npz_file import GRID_KEYS, read_samples, score_npz
from vadv2_eval.open_loop.oriented import trajectory_yaw
from vadv2_eval.open_loop.rasterise import draw_futures
from vadv2_eval.open_loop.table import convention_rows


@pytest.fixture(scope="module")
def npz_file(pytestconfig):
    from pathlib import Path

    return Path(__file__).resolve().parent / "data" / "open_loop_public.npz"


@pytest.fixture(scope="module")
def expected(npz_file):
    with np.load(npz_file) as arrays:
        return {k: arrays[k] for k in arrays.files}


@pytest.fixture(scope="module")
def computed(npz_file):
    samples = read_samples(npz_file)
    cases = case_metrics(samples)
    return cases | aggregate(cases, samples.fut_valid)


def test_the_keys_are_those_of_the_format(expected, computed):
    assert set(computed) == {k for k in expected if k.startswith(("exp_", "agg_"))}


def pytest_generate_tests(metafunc):
    if "key" in metafunc.fixturenames:
        from pathlib import Path

        with np.load(Path(__file__).resolve().parent / "data" / "open_loop_public.npz") as arrays:
            metafunc.parametrize("key", [k for k in arrays.files if k.startswith(("exp_", "agg_"))])


def test_the_originals_number(expected, computed, key):
    got, wanted = computed[key], expected[key]
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    if wanted.dtype == bool or ("col" in key and key.startswith("exp_")):
        assert np.array_equal(got, wanted)
    else:
        assert np.allclose(got, wanted, atol=2e-5, rtol=1e-5)


def test_own_grids_are_the_given_ones_but_for_a_few_cells(expected, npz_file, tmp_path):
    bare = tmp_path / "bare.npz"
    np.savez(bare, **{k: v for k, v in expected.items() if k not in GRID_KEYS.values()})
    given, drawn = read_samples(npz_file).grids, read_samples(bare).grids
    for raster in Raster:
        assert (given[raster] != drawn[raster]).sum() <= 0.01 * given[raster].sum(), raster


def test_the_footprint_has_32_cells():
    rows, columns = footprint()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (97, 104, 98, 101)
    assert len(rows) == 32


def test_vad_looks_25_metres_ahead_for_a_point_and_st_p3_is_mirrored():
    grid = np.zeros((1, CELLS, CELLS), dtype=bool)
    grid[0, 49, 49] = True
    at = np.array([[0.1, 0.1]], dtype=np.float32)
    assert point_hits(grid, at, Raster.VAD)[0]
    assert not point_hits(grid, at, Raster.UNIAD)[0]
    right = np.array([[10.0, 0.0]], dtype=np.float32)
    grid = np.zeros((1, CELLS, CELLS), dtype=bool)
    grid[0, 97:105, 118:122] = True
    assert footprint_hits(grid, right, Raster.UNIAD)[0]
    assert not footprint_hits(grid, right, Raster.STP3)[0]
    assert footprint_hits(grid, -right, Raster.STP3)[0]


def test_off_the_grid_the_footprint_is_clipped_and_the_point_is_not():
    grid = np.zeros((1, CELLS, CELLS), dtype=bool)
    grid[0, CELLS - 1, 100] = True
    far = np.array([[0.0, 80.0]], dtype=np.float32)
    assert footprint_hits(grid, far, Raster.UNIAD)[0]
    assert not point_hits(grid, far, Raster.UNIAD)[0]


def test_yaw_of_a_standing_and_of_a_turning_ego():
    still = np.zeros((1, 6, 2))
    assert np.allclose(trajectory_yaw(still), np.pi / 2)
    t = np.arange(1, 7)[:, None]
    right = np.concatenate([t * 2.0, t * 0.0], axis=1)[None]
    assert np.allclose(trajectory_yaw(right), 0.0)


def test_the_table_names_every_convention_and_counts(npz_file):
    samples, result = score_npz(npz_file, None)
    rows = {r.convention: r for r in convention_rows(samples, result)}
    assert rows["UniAD"].samples == 30 and rows["VAD"].samples == 27
    assert rows["UniAD"].masked_steps == int(result["exp_uniad_gt_box"].sum())
    assert rows["VAD"].l2 != rows["UniAD"].l2
    assert len({(r.definition, r.classes) for r in rows.values()}) == 4


def test_the_command_writes_both_files(npz_file, tmp_path):
    app = Typer()
    cli.register(app)
    metrics, out = tmp_path / "m.npz", tmp_path / "t.json"
    done = CliRunner().invoke(app, ["eval", "open-loop", str(npz_file), "--npz", str(metrics), "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "mean up to the step" in done.output
    with np.load(metrics) as arrays:
        assert "exp_sd_yaw_gt" in arrays.files
    assert len(json.loads(out.read_text())["conventions"]) == 4


def _spoiled(expected, tmp_path, **changes):
    path = tmp_path / "bad.npz"
    values = {k: v for k, v in (expected | changes).items() if v is not None}
    np.savez(path, **values)
    return path


def test_bad_files_are_named(expected, tmp_path, npz_file):
    nan = expected["pred"].copy()
    nan[4, 2, 0] = np.nan
    for changes, message in (
        ({"gt": None}, "key 'gt' is missing"),
        ({"gt": expected["gt"][:, :5]}, "gt has the shape"),
        ({"pred": nan}, "pred is not finite in case 4"),
        ({"pred": expected["pred"][:, :0]}, "at least one case and one step"),
        ({"uniad_seg_bits": expected["uniad_seg_bits"][:, :, :100]}, "uniad_seg_bits has the shape"),
    ):
        path = _spoiled(expected, tmp_path, **changes)
        with pytest.raises(InputError, match=message) as caught:
            score_npz(path, tmp_path / "never.npz")
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(npz_file.read_bytes()[:20_000])
    with pytest.raises(InputError, match="cannot be read"):
        score_npz(cut, tmp_path / "never.npz")
    with pytest.raises(InputError, match="cannot be read"):
        score_npz(tmp_path / "absent.npz", None)
    assert not (tmp_path / "never.npz").exists()


def test_class_sets_of_the_rasters():
    boxes = np.array([[[0.0, 10.0, 4.0, 2.0, 1.5], [10.0, 0.0, 0.8, 0.8, 0.0], [-10.0, 0.0, 0.5, 0.5, 0.0]]])
    there, exists = np.ones((1, 3), dtype=bool), np.ones(1, dtype=bool)
    car_only = draw_futures(boxes, there, np.array([0, 8, 9]), exists, Raster.UNIAD)
    with_people = draw_futures(boxes, there, np.array([0, 8, 9]), exists, Raster.STP3)
    assert car_only[0, 95:105].sum() == 0 and car_only[0, 110:130].sum() > 30
    assert with_people[0, 95:105, :100].any() and not with_people[0, 95:105, 110:].any()
    assert draw_futures(boxes, there, np.array([0, 8, 9]), np.zeros(1, dtype=bool), Raster.UNIAD).all()
