"""Real drives in the simulated towns: which ones, what is kept, and the same scores from any number of workers."""

from __future__ import annotations

from itertools import islice

import pytest
from typer import Typer
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_eval import cli
from vadv2_eval.closed_loop.report import write_report
from vadv2_eval.closed_loop.run import ABILITIES, ClosedLoopPlan, evaluate, fingerprint, split_towns, summarise
from vadv2_eval.jobs import ResultStore


def test_orders_go_round_town_by_scenario_with_new_seeds():
    plan = ClosedLoopPlan(("expert",), "test", 10, scenarios=("red_light", "cut_in"))
    orders = list(islice(plan.orders("expert"), 6))
    assert [(o.town, o.scenario) for o in orders[:4]] == [
        ("town_e", "red_light"), ("town_f", "cut_in"), ("town_f", "red_light"), ("town_e", "cut_in"),
    ]  # fmt: skip
    assert len({o.key for o in orders}) == 6 and orders[4].town == "town_e"
    assert {o.seed for o in orders}.isdisjoint(
        {o.seed for o in islice(ClosedLoopPlan(("x",), "val", 1).orders("x"), 50)}
    )
    with pytest.raises(InputError, match="unknown scenario 'moon'"):
        next(ClosedLoopPlan(("expert",), "val", 1, scenarios=("moon",)).orders("expert"))


def test_every_scenario_belongs_to_one_ability():
    from vadv2_sim.scenarios import SCENARIOS

    grouped = [s for group in ABILITIES.values() for s in group]
    assert len(grouped) == len(set(grouped)) and set(grouped) == set(SCENARIOS) - {"free"}


def test_splits_are_towns_or_folders(tmp_path):
    assert split_towns("val") == ("town_a", "town_b", "town_c", "town_d")
    with pytest.raises(InputError, match="val, test or a folder"):
        split_towns("elsewhere")
    with pytest.raises(InputError, match="holds no town"):
        split_towns(str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.xml").write_text("<net/>")
    assert split_towns(str(tmp_path)) == (str(tmp_path / "mine"),) == split_towns(str(tmp_path / "mine"))


def test_another_model_or_length_is_another_run(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    plan = ClosedLoopPlan(("model",), "val", 1, models=str(tmp_path))
    before = fingerprint(plan)
    (tmp_path / "a" / "config.json").write_text('{"sha256": "1"}')
    assert fingerprint(plan) != before
    assert fingerprint(ClosedLoopPlan(("model",), "val", 1, seconds=5.0)) != fingerprint(
        ClosedLoopPlan(("model",), "val", 1)
    )


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drive")
    plan = ClosedLoopPlan(
        ("lane_follower",), "val", 1, scenarios=("red_light",), seconds=7.0, pictures=str(folder / "pictures")
    )
    store = ResultStore(folder / "drives.jsonl")
    return plan, store, evaluate(plan, store, workers=1), folder


def test_a_drive_is_scored_and_kept(short):
    _, store, result, folder = short
    assert result["driver"] == "lane_follower" and result["drives"] == 1
    record = next(iter(store.rows.values()))["result"]
    assert record["reason"] == "cut_short" and record["score"]["infraction_score"] == 1.0
    assert 0.0 < record["score"]["route_completion"] < 1.0 and record["score"]["seconds"] == pytest.approx(7.0)
    assert record["pdms"]["plans"] >= 2 and 0.0 <= result["pdms"] <= 1.0
    assert sum(record["seconds_in_state"].values()) == pytest.approx(7.0)
    assert record["picture"].startswith(str(folder / "pictures"))
    write_report(folder / "report.html", result)
    assert "data:image/png;base64," in (folder / "report.html").read_text()


def test_a_finished_run_is_not_driven_again(short):
    plan, store, result, _ = short
    before = store.path.read_bytes()
    again = evaluate(plan, ResultStore(store.path), workers=1)
    assert again == result and store.path.read_bytes() == before


def test_unknown_drivers_are_named(tmp_path):
    app = Typer()
    cli.register(app)
    arguments = [
        "eval",
        "closed-loop",
        "--driver",
        "nobody",
        "--seeds",
        "1",
        "--seconds",
        "1",
        "--json",
        str(tmp_path / "r.json"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError) and "driver 'nobody' is unknown" in str(done.exception)
    assert "truncated_diffusion" in str(done.exception) and not (tmp_path / "r.json").exists()


def test_nothing_driven_is_said_to_be_nothing():
    summary = summarise([{"order": {"town": "t", "scenario": "s"}, "reason": "no_place", "why": "no place"}])
    assert summary["drives"] == 0 and summary["driving_score"] is None and summary["left_out"] == ["t s: no place"]


@pytest.mark.long
def test_one_and_four_workers_score_the_same(tmp_path):
    plan = ClosedLoopPlan(("expert", "constant_velocity"), "val", 4, seconds=8.0)
    results = [evaluate(plan, ResultStore(tmp_path / f"{w}.jsonl"), workers=w) for w in (1, 4)]
    for result in results:
        for driver in (result, *result["drivers"].values()):
            for measured in ("cpu_s", "timings_ms"):  # of the machine, not of the drives
                driver.pop(measured)
    assert results[0] == results[1]


@pytest.mark.long
def test_ray_scores_what_processes_score(tmp_path):
    plan = ClosedLoopPlan(("lane_follower",), "val", 2, seconds=5.0)
    ours = evaluate(plan, ResultStore(tmp_path / "p.jsonl"), workers=2)
    theirs = evaluate(plan, ResultStore(tmp_path / "r.jsonl"), workers=2, ray_address="local")
    assert {k: v for k, v in theirs.items() if k != "cpu_s"} == {k: v for k, v in ours.items() if k != "cpu_s"}
