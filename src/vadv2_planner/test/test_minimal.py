import torch

from vadv2_planner import PlannerConfig, make_planner
from vadv2_planner.batch import make_batch
from vadv2_planner.minimal import COLUMNS, DEPTHS, LiftSplat, lifted_cells, map_projection
from vadv2_planner.reading import read_maps


def test_lifting_is_the_inverse_of_projecting(tokens, command):
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    cell, on = lifted_cells(batch.projection, 14, 30)
    # The front camera's axis at 3 * 1.13^10 = 10.2 m: token (row 5, column 14 or 15) looks level straight ahead.
    camera_x = float(tokens.t_base_camera[0][0, 3])
    index = 5 * 30 + 14
    assert on[0, 0, index, 10] == 1
    row, column = divmod(int(cell[0, 0, index, 10]), COLUMNS)
    assert row == int((camera_x + DEPTHS[10] + 32.0) // 2.0)
    assert column in (15, 16)
    # To the left of the picture's middle is to the ego's left.
    left = int(cell[0, 0, 5 * 30 + 2, 10]) % COLUMNS
    assert left > column


def test_the_map_is_read_where_it_was_splatted(tokens, command):
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    bird = torch.zeros(1, 1, 64, 32, 1)
    bird[0, 0, 26, 18] = 1.0  # x in 20 .. 22, y in 4 .. 6
    projection = map_projection().reshape(1, 1, 3, 4)
    read = read_maps(torch.tensor([[[21.0, 5.0, 0.0], [5.0, 21.0, 0.0]]]), bird, projection, torch.ones(1, 1))
    assert torch.allclose(read[0, :, 0], torch.tensor([1.0, 0.0]), atol=1e-5)
    torch.manual_seed(0)
    assert LiftSplat(64)(batch.tokens, batch.projection, batch.camera_valid).shape == (1, 64, 32, 64)


def test_a_camera_that_is_not_valid_leaves_nothing_on_the_map(tokens, command):
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    torch.manual_seed(0)
    lift = LiftSplat(64).eval()
    nothing = lift(batch.tokens, batch.projection, torch.zeros(1, 6))
    other = lift(batch.tokens * 3.0, batch.projection, torch.zeros(1, 6))
    assert torch.allclose(nothing, other)


def test_minimal_makes_three_passes_and_reads_no_reasoning(tokens, command):
    out = make_planner(None, PlannerConfig(planner="minimal")).plan(tokens, tokens.ego, command, None, None)
    assert out.steps == 3
    assert out.points.shape == (20, 80, 6)
    assert not any("reasoning" in d for d in out.degraded)
