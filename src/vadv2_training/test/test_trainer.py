"""The training loop: schedule, resuming after kill -9 to the same weights, two processes as one."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vadv2_core.errors import InputError
from vadv2_training import trainer
from vadv2_training.optimization import OptimizationConfig, WeightAverage, learning_rate_at, make_optimizer
from vadv2_training.trainer import sample_indices, train

CONFIG = {
    "steps": 30,
    "batch_size": 8,
    "learning_rate": 0.02,
    "warmup_steps": 5,
    "precision": "no",
    "save_every": 4,
    "ema_decay": 0.9,
}


class Regression(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))

    def forward(self, batch):
        x, y = batch
        error = ((self.layers(x).squeeze(-1) - y) ** 2).mean()
        return {"error": error, "total": error}


class Toy:
    def __init__(self, dropout=0.0):
        torch.manual_seed(3)
        self.module = Regression(dropout)
        self.x = torch.randn(40, 3)
        self.y = self.x[:, 0] - 2.0 * self.x[:, 1]

    def batch(self, indices):
        return self.x[indices], self.y[indices]

    def __len__(self):
        return 40


def weights(task):
    return {n: p.detach().clone() for n, p in task.module.named_parameters()}


def test_the_rate_warms_up_and_ends_at_its_final_value():
    config = OptimizationConfig(steps=100, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate_at(s, config) for s in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55) and rates[100] == pytest.approx(0.1)
    assert all(b <= a for a, b in itertools.pairwise(rates[10:]))


def test_only_matrices_decay():
    groups = make_optimizer(Regression().parameters(), OptimizationConfig()).param_groups
    assert [all(p.ndim >= 2 for p in g["params"]) for g in groups] == [True, False]
    assert [g["weight_decay"] > 0 for g in groups] == [True, False]


def test_every_sample_comes_once_an_epoch_whatever_the_number_of_processes():
    for world in (1, 2):
        seen = [sample_indices(s, 5, r, world, 40, 7) for s in range(8 // world) for r in range(world)]
        assert sorted(torch.cat(seen).tolist()) == list(range(40))
    assert not torch.equal(sample_indices(0, 40, 0, 1, 40, 7), sample_indices(1, 40, 0, 1, 40, 7))


def test_it_learns_and_ships_the_average(tmp_path):
    task = Toy()
    first = float(task.module((task.x, task.y))["total"].detach())
    result = train(task, OptimizationConfig(**CONFIG | {"steps": 150}), tmp_path)
    assert result.steps == 150
    assert float(task.module((task.x, task.y))["total"]) < 0.1 * first
    saved = load_file(tmp_path / "state.safetensors")
    torch.testing.assert_close(saved["average.layers.0.weight"], task.module.layers[0].weight.detach())
    assert not torch.equal(saved["module.layers.0.weight"], saved["average.layers.0.weight"])


def test_a_run_in_two_parts_is_the_run_in_one(tmp_path):
    config = OptimizationConfig(**CONFIG)
    whole, parts = Toy(dropout=0.3), Toy(dropout=0.3)
    train(whole, config, tmp_path / "whole")
    assert train(parts, config, tmp_path / "parts", stop_after=0.0).steps == 1
    parts = Toy(dropout=0.3)
    train(parts, config, tmp_path / "parts")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(parts)[name]), name


RUN = """
import os, signal, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from types import SimpleNamespace
from test_trainer import Toy, CONFIG
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.trainer import train
kill = lambda step, losses: os.kill(os.getpid(), signal.SIGKILL) if step == int(sys.argv[2]) else None
train(Toy(dropout=0.3), OptimizationConfig(**CONFIG), Path(sys.argv[1]), on_step=kill)
"""


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    code = RUN.format(here=str(Path(__file__).parent))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed"), "18"], env=environment)
    assert killed.returncode == -signal.SIGKILL
    resumed, whole = Toy(dropout=0.3), Toy(dropout=0.3)
    train(resumed, OptimizationConfig(**CONFIG), tmp_path / "killed")
    train(whole, OptimizationConfig(**CONFIG), tmp_path / "whole")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_another_runs_state_is_refused(tmp_path):
    train(Toy(), OptimizationConfig(**CONFIG), tmp_path, facts={"stage": 1})
    with pytest.raises(InputError, match=r"was trained with stage = 1 \(expected 2"):
        train(Toy(), OptimizationConfig(**CONFIG), tmp_path, facts={"stage": 2})
    (tmp_path / "state.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="not a training run's state"):
        train(Toy(), OptimizationConfig(**CONFIG), tmp_path, facts={"stage": 1})


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    task = Toy()
    task.y[:] = float("inf")
    with pytest.raises(InputError, match="loss is not finite at step 0: error, total"):
        train(task, OptimizationConfig(**CONFIG), tmp_path)


def test_the_average_follows_the_weights():
    module = nn.Linear(2, 1)
    average = WeightAverage(module, 0.99)
    start = average.state()["weight"].clone()
    with torch.no_grad():
        module.weight += 1.0
    average.update(module)
    moved = (average.state()["weight"] - start).mean()
    assert 0.5 < float(moved) < 1.0, "early updates forget quickly"


DISTRIBUTED = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from types import SimpleNamespace
from test_trainer import Toy, CONFIG
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.trainer import train
train(Toy(), OptimizationConfig(**(CONFIG | {{"batch_size": 4}})), Path(sys.argv[1]))
"""


def test_two_processes_train_what_one_does(tmp_path):
    script = tmp_path / "distributed.py"
    script.write_text(DISTRIBUTED.format(here=str(Path(__file__).parent)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(script), str(tmp_path / "two")], env=environment, check=True, timeout=200)
    one = Toy()
    train(one, OptimizationConfig(**CONFIG), tmp_path / "one")
    two = load_file(tmp_path / "two" / "state.safetensors")
    for name, value in weights(one).items():
        torch.testing.assert_close(two[f"average.{name}"], value, rtol=1e-4, atol=1e-5)


def test_stages_of_one_process_have_each_their_own_precision(tmp_path):
    for precision in ("no", "bf16", "no"):
        config = OptimizationConfig(**{**CONFIG, "steps": 1, "precision": precision})
        seen = []
        task = Toy()
        task.module.layers[0].register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output.dtype))
        train(task, config, tmp_path / f"{len(list(tmp_path.iterdir()))}")
        assert seen == [torch.bfloat16 if precision == "bf16" else torch.float32]


@pytest.mark.parametrize("main", [True, False])
def test_one_process_writes_and_the_others_wait(main, monkeypatch):
    done = []
    state = SimpleNamespace(is_main_process=main, wait_for_everyone=lambda: done.append("waited"))
    monkeypatch.setattr(trainer, "PartialState", lambda: state)
    trainer.save_once(lambda: done.append("written"))
    assert done == (["written", "waited"] if main else ["waited"])
