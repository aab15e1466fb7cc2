"""Jobs: the same results for any number of workers, killed workers retried, nothing twice, goes on after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vadv2_core.errors import InputError
from vadv2_eval.jobs import Job, ResultStore, run_jobs


def test_one_and_four_workers_give_the_same_results(tmp_path):
    jobs = [Job(f"j{i}", i) for i in range(12)]
    tables = []
    for workers in (1, 4):
        store = ResultStore(tmp_path / f"{workers}.jsonl")
        run_jobs("sample_jobs:square", jobs, store, workers=workers)
        tables.append({k: store.rows[k]["result"] for k in sorted(store.rows)})
    assert tables[0] == tables[1] and tables[0]["j5"] == {"square": 25}


def test_bad_input_of_one_job_is_kept_and_the_others_go_on(tmp_path):
    store = ResultStore(tmp_path / "s.jsonl")
    run_jobs("sample_jobs:refuse_odd", [Job(str(i), i) for i in range(5)], store, workers=2)
    assert [k for k, r in sorted(store.rows.items()) if "error" in r] == ["1", "3"]
    assert store.rows["3"]["error"] == "value 3: is odd (expected an even number)"


def test_a_killed_worker_is_replaced_and_its_job_tried_again(tmp_path):
    store = ResultStore(tmp_path / "s.jsonl")
    jobs = [Job(str(i), [str(tmp_path / "mark"), i]) for i in range(6)]
    run_jobs("sample_jobs:die_once", jobs, store, workers=2)
    assert sorted(r["result"] for r in store.rows.values()) == list(range(6))
    assert (tmp_path / "mark").exists()


def test_a_job_that_always_dies_ends_the_run_by_name(tmp_path):
    with pytest.raises(InputError, match=r"doomed: its worker died .*3 times"):
        run_jobs("sample_jobs:die_of_one", [Job("doomed", 1)], ResultStore(tmp_path / "s.jsonl"))


def test_a_job_that_always_dies_can_be_left_out_by_name(tmp_path):
    store = ResultStore(tmp_path / "s.jsonl")
    jobs = [Job("doomed", 1), *(Job(str(i), i) for i in (2, 3))]
    run_jobs("sample_jobs:die_of_one", jobs, store, leave_out_dead=True)
    assert store.rows["3"]["result"] == 3 and store.rows["2"]["result"] == 2
    assert "its worker died" in store.rows["doomed"]["error"]


def test_a_run_goes_on_where_it_was_cut_and_counts_nothing_twice(tmp_path):
    path, calls = tmp_path / "s.jsonl", tmp_path / "calls"
    jobs = [Job(str(i), [str(calls), i]) for i in range(4)]
    run_jobs("sample_jobs:log_call", jobs[:3], ResultStore(path))
    text = path.read_text()
    path.write_text(text[: len(text) - 7])  # the last line is cut short, as by a kill
    store = ResultStore(path)
    assert len(store.rows) == 2
    run_jobs("sample_jobs:log_call", jobs, store, workers=2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(r["key"] for r in lines) == ["0", "1", "2", "3"]
    assert sorted(calls.read_text().split()) == ["0", "1", "2", "2", "3"]
    run_jobs("sample_jobs:log_call", jobs, ResultStore(path))
    assert len(calls.read_text().split()) == 5


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_run_takes_its_workers_along_and_goes_on(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "s.jsonl"
    run = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from vadv2_eval.jobs import Job, ResultStore, run_jobs
jobs = [Job(str(i), [{str(mark)!r}, i]) for i in range(5)]
run_jobs("sample_jobs:hang_once", jobs, ResultStore(Path({str(path)!r})), workers=2)
"""
    killed = subprocess.Popen([sys.executable, "-c", run])
    until(lambda: mark.exists() and mark.read_text() and path.exists() and path.read_text().count("\n") == 4)
    killed.kill()
    killed.wait()
    worker = int(mark.read_text())
    until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)
    subprocess.run([sys.executable, "-c", run], check=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((r["key"], r["result"]) for r in lines) == [(str(i), i) for i in range(5)]


def test_keys_must_be_unique(tmp_path):
    with pytest.raises(InputError, match="'a' appears twice"):
        run_jobs("sample_jobs:square", [Job("a", 1), Job("a", 2)], ResultStore(tmp_path / "s.jsonl"))


def test_ray_gives_what_processes_give(tmp_path):
    jobs = [Job(f"j{i}", i) for i in range(6)]
    ours, rays = ResultStore(tmp_path / "p.jsonl"), ResultStore(tmp_path / "r.jsonl")
    run_jobs("sample_jobs:square", jobs, ours, workers=2)
    run_jobs("sample_jobs:square", jobs, rays, workers=2, ray_address="local")
    assert rays.rows == ours.rows
