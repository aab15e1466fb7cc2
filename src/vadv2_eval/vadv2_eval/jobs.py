"""Many independent jobs on this machine's processes or on a Ray cluster, into one store that survives a kill.

A job is a key and a JSON-plain argument; its function is named ``module:function`` so that a fresh process finds it.
Jobs keep nothing between them, so results do not depend on the number of workers. A worker that dies is replaced and
its job tried again; a finished key is never run or counted twice.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vadv2_core.errors import InputError

ONE_THREAD = ("OMP_NUM_THREADS", "LP_NUM_THREADS")
"""Threads of numerics and of the software renderer, one a worker unless the user says otherwise."""
ATTEMPTS = 3
"""How often a job is tried whose worker died."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: a key unique in the store, and what its function is called with."""

    key: str
    argument: Any


class ResultStore:
    """Finished jobs as JSON lines ``{"key", "result"}`` or ``{"key", "error"}``; only the parent writes.

    A line cut short by a kill is dropped when the store is opened again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._read()

    def _read(self) -> None:
        good = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    self.rows[row["key"]] = row
                except (ValueError, KeyError, TypeError):
                    break
                if not line.endswith(b"\n"):
                    break
                good += len(line)
        if good < self.path.stat().st_size:
            with self.path.open("rb+") as file:
                file.truncate(good)

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keep one finished job; a key that is there already is left as it is."""
        if key in self.rows:
            return
        line = json.dumps({"key": key, **row}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows[key] = json.loads(line)


def _function(name: str) -> Callable[[Any], Any]:
    module, _, attribute = name.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), attribute)
    return found


def _attempt(function: Callable[[Any], Any], argument: Any) -> dict[str, Any]:
    """A result, or the one line of an `InputError`; any other exception belongs to the program and is passed on."""
    try:
        return {"result": function(argument)}
    except InputError as error:
        return {"error": str(error)}


def _end_with(parent: Any) -> None:
    wait([parent.sentinel])
    os._exit(1)


def _work(name: str, pipe: Connection, path: list[str]) -> None:
    # A run that is killed takes its workers with it: they would go on for minutes beside the one that is started next.
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    sys.path[:] = path
    function = _function(name)
    while True:
        argument = pipe.recv()
        if argument is None:
            return
        try:
            pipe.send(_attempt(function, argument))
        except Exception as error:
            pipe.send({"crash": f"{type(error).__name__}: {error}"})


class _Worker:
    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(name, theirs, list(sys.path)), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None

    def give(self, job: Job) -> None:
        self.job = job
        self.pipe.send(job.argument)

    def end(self) -> None:
        if self.process.is_alive():
            try:
                self.pipe.send(None)
            except OSError:
                self.process.kill()
        self.process.join(5.0)
        if self.process.is_alive():
            self.process.kill()
        self.pipe.close()


def run_jobs(
    function: str,
    jobs: Sequence[Job],
    store: ResultStore,
    *,
    workers: int = 1,
    ray_address: str = "",
    label: str = "jobs",
    isolated: bool = True,
    leave_out_dead: bool = False,
) -> None:
    """Run every job that the store does not hold yet.

    Args:
        function: ``module:function`` of one JSON-plain argument that returns a JSON-plain result.
        jobs: With unique keys.
        store: Where results go as they come.
        workers: Processes.
        ray_address: Address of a Ray cluster (``local`` for one on this machine), empty for processes.
        label: Of the progress bar.
        isolated: Also a single worker is a process of its own; otherwise one worker works in this process.
        leave_out_dead: A job whose worker died every time becomes an error row, and the others go on.

    Raises:
        InputError: for keys that repeat, a missing ray, or a job whose worker died or crashed every time.
    """
    keys = [job.key for job in jobs]
    if len(set(keys)) != len(keys):
        twice = next(k for k in keys if keys.count(k) > 1)
        raise InputError(f"key {twice!r} appears twice", label, "unique keys")
    left = [job for job in jobs if job.key not in store.rows]
    for name in ONE_THREAD:  # Workers share the cores; threads of theirs would only wait for each other.
        os.environ.setdefault(name, "1")
    if ray_address:
        finished = _by_ray(function, left, ray_address, workers)
    elif workers > 1 or isolated:
        finished = _by_processes(function, left, workers, leave_out_dead)
    else:
        finished = ((job, _attempt(_function(function), job.argument)) for job in left)
    with tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=label, disable=None) as bar:
        for job, row in finished:
            store.add(job.key, row)
            bar.update()


def _by_processes(
    name: str, jobs: Sequence[Job], workers: int, leave_out_dead: bool
) -> Iterator[tuple[Job, dict[str, Any]]]:
    waiting = list(reversed(jobs))
    attempts: dict[str, int] = {}
    pool = [_Worker(name) for _ in range(min(max(workers, 1), len(waiting)))]
    try:
        for worker in pool:
            worker.give(waiting.pop())
        while any(w.job for w in pool):
            busy = {w.pipe: w for w in pool if w.job}
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                job = worker.job
                assert job is not None
                try:
                    row = worker.pipe.recv()
                except (EOFError, OSError):
                    row = {"crash": f"its worker died (exit status {worker.process.exitcode})", "dead": True}
                    worker.end()
                    pool[pool.index(worker)] = worker = _Worker(name)
                worker.job = None
                if "crash" in row:
                    attempts[job.key] = attempts.get(job.key, 0) + 1
                    if attempts[job.key] >= ATTEMPTS and leave_out_dead and "dead" in row:
                        yield job, {"error": f"{job.key}: {row['crash']}, {ATTEMPTS} times"}
                    elif attempts[job.key] >= ATTEMPTS:
                        raise InputError(f"{row['crash']}, {ATTEMPTS} times", job.key, "a job that ends")
                    else:
                        waiting.append(job)
                else:
                    yield job, row
                if waiting:
                    worker.give(waiting.pop())
    finally:
        for worker in pool:
            worker.end()


def _by_ray(name: str, jobs: Sequence[Job], address: str, workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    try:
        import ray
    except ImportError:
        raise InputError("ray is not installed", "--ray", "pip install ray, or --workers without --ray") from None
    started = not ray.is_initialized()
    if started:
        where: dict[str, Any] = {"num_cpus": workers} if address == "local" else {"address": address}
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}}
        ray.init(**where, runtime_env=environment, log_to_driver=False, include_dashboard=False)
    try:
        task = ray.remote(max_retries=ATTEMPTS - 1, num_cpus=1)(_ray_attempt)
        pending = {task.remote(name, job.argument): job for job in jobs}
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(done[0])
            try:
                yield job, ray.get(done[0])
            except ray.exceptions.RayError as error:
                raise InputError(f"{str(error).splitlines()[-1]}", job.key, "a job that ends") from None
    finally:
        if started:
            ray.shutdown()


def _ray_attempt(name: str, argument: Any) -> dict[str, Any]:
    return _attempt(_function(name), argument)
