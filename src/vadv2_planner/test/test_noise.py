import numpy as np
import pytest
import torch

from vadv2_core.errors import InputError
from vadv2_planner.noise import NoiseSchedule, truncated_plan, vanilla_plan


@pytest.mark.parametrize(
    ("t", "alpha"),
    [
        (0, 0.9998999834),
        (8, 0.9990021586),
        (9, 0.9988772273),
        (10, 0.9987493157),
        (20, 0.9973012805),
        (39, 0.9936123490),
        (49, 0.9911162257),
        (999, 0.0007334120),
    ],
)
def test_schedule_has_the_published_check_values(t, alpha):
    assert NoiseSchedule().alpha(t) == pytest.approx(alpha, abs=5e-10)


def test_step_of_the_released_code_goes_from_ten_to_nine():
    schedule = NoiseSchedule()
    schedule.set_timesteps(1000)
    sample, clean = np.array([0.3]), np.array([-0.2])
    assert schedule.step(clean, 10, sample)[0] == pytest.approx(0.94749 * 0.3 + 0.05254 * -0.2, abs=1e-5)


def test_step_as_intended_goes_from_ten_to_zero():
    sample, clean = np.array([0.3]), np.array([-0.2])
    assert NoiseSchedule().step(clean, 10, sample, 0)[0] == pytest.approx(0.28277 * 0.3 + 0.71736 * -0.2, abs=3e-5)


def test_last_step_returns_the_clipped_clean_sample():
    out = NoiseSchedule().step(torch.tensor([1.7, -0.4]), 0, torch.tensor([0.5, 0.5]), -1)
    assert torch.allclose(out, torch.tensor([1.0, -0.4]))


def test_clipping_does_not_touch_the_implied_noise():
    schedule = NoiseSchedule()
    a, b = schedule.alpha(10), schedule.alpha(9)
    noise = (0.5 - np.sqrt(a) * 1.7) / np.sqrt(1 - a)
    wanted = np.sqrt(b) * 1.0 + np.sqrt(1 - b) * noise
    assert schedule.step(np.array([1.7]), 10, np.array([0.5]), 9)[0] == pytest.approx(wanted)


def test_forward_noise_and_step_are_inverse_for_the_true_clean_sample():
    schedule = NoiseSchedule()
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(4, 3, generator=generator) - 0.5
    noise = torch.randn(4, 3, generator=generator)
    there = schedule.step(clean, 49, schedule.add_noise(clean, noise, 49), 20)
    assert torch.allclose(there, schedule.add_noise(clean, noise, 20), atol=1e-5)
    batched = schedule.add_noise_batch(clean, noise, torch.tensor([49, 8, 0, 20]))
    assert torch.allclose(batched[1], schedule.add_noise(clean[1], noise[1], 8))


def test_a_batch_of_steps_is_its_steps():
    schedule = NoiseSchedule()
    generator = torch.Generator().manual_seed(0)
    clean, sample = 2.4 * torch.rand(2, 3, generator=generator) - 1.2, torch.randn(2, 3, generator=generator)
    batched = schedule.step_batch(clean, torch.tensor([40, 10]), sample, torch.tensor([13, 0]))
    assert torch.allclose(batched[0], schedule.step(clean[0], 40, sample[0], 13), atol=1e-5)
    assert torch.allclose(batched[1], schedule.step(clean[1], 10, sample[1], 0), atol=1e-5)


def test_samplers_make_the_passes_of_the_specification():
    released, intended = truncated_plan("as_released", 2), truncated_plan("as_intended", 2)
    assert (released.start, released.passes) == (8, ((10, 9), (0, -1)))
    assert (intended.start, intended.passes) == (10, ((10, 0), (0, -1)))


@pytest.mark.parametrize("sampler", ["as_released", "as_intended"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 20, 50, 100])
def test_every_number_of_passes_is_made_and_ends_clean(sampler, steps):
    plan = truncated_plan(sampler, steps)
    labels = [t for t, _ in plan.passes]
    assert len(labels) == steps
    assert labels == sorted(labels, reverse=True)
    assert labels[-1] == 0
    assert max(labels) <= 20
    assert plan.passes[-1][1] == -1


def test_plain_diffusion_walks_the_whole_schedule():
    plan = vanilla_plan(100)
    assert plan.passes[0] == (990, 980)
    assert plan.passes[-1][0] == 0
    assert len(plan.passes) == 100


@pytest.mark.parametrize("steps", [0, 101])
def test_steps_out_of_range_are_refused(steps):
    with pytest.raises(InputError, match=r"1 \.\. 100"):
        truncated_plan("as_intended", steps)
