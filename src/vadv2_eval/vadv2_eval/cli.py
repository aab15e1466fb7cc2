"""The commands of evaluation: ``vadv2 eval ...``, ``vadv2 bench pdms``, ``vadv2 regress ...``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vadv2_eval.faults.cli import faults
from vadv2_eval.scenes_cli import scenes


def command_group(app: typer.Typer, name: str, text: str) -> typer.Typer:
    """The sub-app of that name: another package's, where it made one before."""
    for group in app.registered_groups:
        if group.name == name and group.typer_instance is not None:
            return group.typer_instance
    made = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(made, name=name)
    return made


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    evaluate = command_group(app, "eval", "Scores, labelled with their convention and explained.")
    bench = command_group(app, "bench", "How fast a part is, as JSON.")
    evaluate.command("pdms")(pdms)
    evaluate.command("open-loop")(open_loop)
    evaluate.command("logs")(logs)
    evaluate.command("closed-loop")(closed_loop)
    evaluate.command("scenes")(scenes)
    evaluate.command("bag")(bag)
    evaluate.command("compare")(compare)
    evaluate.command("edge-cases")(edge_cases)
    evaluate.command("rate")(rate)
    evaluate.command("drivelm")(drivelm)
    bench.command("pdms")(bench_pdms)
    regress = command_group(app, "regress", "Hold a change against golden logs, stage by stage.")
    regress.command("short")(regress_short)
    app.command("faults")(faults)


def pdms(
    file: Annotated[Path, typer.Argument(help="Case file, .json or .json.gz (format pdms-cases-1).")],
    out: Annotated[Path | None, typer.Option("--json", help="Write {cases: [{id, v1, v2}]} here.")] = None,
    causes: Annotated[Path | None, typer.Option(help="Write why each sub-score lost points here, JSON.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Draw every case with a lost point into this folder.")] = None,
) -> None:
    """PDMS (NAVSIM v1.1) and EPDMS (NAVSIM v2.2) of a case file.

    Every stage is written: path, profiles, simulated states, flags, sub-scores, scores with and without the human
    filter. A case that cannot be read is left out with one line; the status is then 2.

    Example: `vadv2 eval pdms cases.json.gz --json scores.json --pictures out/`
    """
    from vadv2_eval.pdms.case_file import score_file

    status = score_file(file, out, causes, pictures)
    raise typer.Exit(status)


def open_loop(
    file: Annotated[Path, typer.Argument(help="Samples, .npz (keys as in the case format of docs/evaluation.md).")],
    npz: Annotated[Path | None, typer.Option("--npz", help="Write every exp_* and agg_* quantity here.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON here.")] = None,
) -> None:
    """L2 and collisions of planned positions in the four conventions of nuScenes, each named.

    Grids that are not in the file are drawn from its boxes.

    Example: `vadv2 eval open-loop samples.npz --npz metrics.npz`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.open_loop.npz_file import score_npz
    from vadv2_eval.open_loop.table import convention_rows, markdown

    samples, result = score_npz(file, npz)
    rows = convention_rows(samples, result)
    typer.echo(markdown(rows))
    if out is not None:
        write_json_atomic(out, {"conventions": [row.to_json() for row in rows]})


def logs(
    folder: Annotated[Path, typer.Argument(help="Folder of re-encoded nuScenes logs (scene-*.json.gz).")],
    planner: Annotated[
        list[str] | None, typer.Option(help="Planner by name, planner:NAME for one of the registry; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the numbers here.")] = None,
) -> None:
    """Planners that need no pictures on recorded logs, every half second: PDMS by the v1.1 rules, and open loop.

    The logs have no signals, intersections or boundaries; the table says what that touches, and it is not NAVSIM.

    Example: `vadv2 eval logs ../shared/data/nuscenes_mini_logs --planner log_replay --planner constant_velocity`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.logs.benchmark import markdown, read_logs, score_logs
    from vadv2_eval.logs.planners import LOG_PLANNERS

    results = score_logs(read_logs(folder), planner or list(LOG_PLANNERS))
    typer.echo(markdown(results))
    if out is not None:
        write_json_atomic(out, {"planners": [r.to_json() for r in results]})


def closed_loop(
    driver: Annotated[
        list[str], typer.Option(help="expert, lane_follower, model, a planner by name, or a model folder; repeatable.")
    ],
    split: Annotated[str, typer.Option(help="val (training towns, new seeds), test (held out), or a folder.")] = "val",
    seeds: Annotated[int, typer.Option(help="Drives a driver, round-robin over town x scenario.", min=1)] = 20,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write the numbers here (fractions).")] = None,
    store: Annotated[
        Path | None, typer.Option(help="JSON lines of finished drives, gone on with; default: beside --json.")
    ] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="Only these scenarios; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(help="Longest drive, s; 0 for the scenario's own.", min=0.0)] = 0.0,
    model: Annotated[
        str, typer.Option(help="Folder of the driver `model` (perception, planner, vlm); empty: the default system.")
    ] = "",
    plan_hz: Annotated[
        float, typer.Option(help="Frames the stack sees and plans on a second; control stays at 10 Hz.", min=0.1)
    ] = 10.0,
    words_every: Annotated[
        float, typer.Option(help="Seconds between two reasonings in words; 0: none.", min=0.0)
    ] = 1.0,
    models: Annotated[Path, typer.Option(help="Folder of model directories.")] = Path("models"),
    rig: Annotated[Path, typer.Option(help="Camera rig file.")] = Path("config/rig/surround6.yaml"),
    reasoning: Annotated[
        str, typer.Option(help="What the planner is told: on (its reasoner's own), off, shuffled, true.")
    ] = "on",
    scenes: Annotated[
        Path | None, typer.Option(help="Folder of an `eval scenes` run of this model, for shuffled reasonings.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write report.html and pictures of failures here.")] = None,
    ray: Annotated[str, typer.Option(help="Address of a Ray cluster, or local; empty for processes.")] = "",
) -> None:
    """Drive the simulated towns and score: CARLA leaderboard, Bench2Drive, PDMS over the driven scenes, reasoning.

    The same drives for every driver and any number of workers. A run that was stopped goes on from its store. The keys
    of the first driver stand at the top of the JSON, with several those of each also below `drivers`. Drives of
    `text_command` are told in held-out words, without action or route (`command_obeyed`).

    Example: `vadv2 eval closed-loop --driver model --model out/train/model --driver expert --split test --seeds 20`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.closed_loop.report import text_table, write_report
    from vadv2_eval.closed_loop.run import ClosedLoopPlan, evaluate
    from vadv2_eval.closed_loop.wheels import pace_of
    from vadv2_eval.jobs import ResultStore

    beside = out.with_suffix(".jsonl") if out is not None else Path("out/closed_loop.jsonl")
    pictures = str(report / "pictures") if report is not None else ""
    plan = ClosedLoopPlan(
        tuple(driver), split, seeds, tuple(scenario or ()), seconds, str(models), str(rig), pictures,
        model, pace_of(plan_hz, words_every), reasoning, str(scenes / "embeddings" if scenes else ""),
    )  # fmt: skip
    result = evaluate(plan, ResultStore(store or beside), workers=workers, ray_address=ray)
    typer.echo(text_table(result))
    if out is not None:
        write_json_atomic(out, result)
    if report is not None:
        write_report(report / "report.html", result)


def bag(
    bags: Annotated[list[Path], typer.Argument(help="rosbag2 folders, .mcap or .db3 files.")],
    out: Annotated[Path, typer.Option(help="Folder for frames.jsonl, summary.json and report.html.")],
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="ROLE=/topic: odometry, plan, reasoning, truth_reasoning, status, command, objects, camera."
        ),
    ] = None,
    road_map: Annotated[
        str, typer.Option(help="Road map in the odometry's frame (maps/*.map.zst of a recording), for off-road.")
    ] = "",
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    ray: Annotated[str, typer.Option(help="Address of a Ray cluster, or local; empty for processes.")] = "",
) -> None:
    """Score recorded drives: the plans against what was then driven.

    Topics are found by type, or named by --map. A bag that cannot be scored is left out with its reason (status 2 at
    the end); a run that was stopped goes on.

    Example: `vadv2 eval bag out/drive/bag --out out/bag_scores --workers 2`
    """
    import sys

    from vadv2_core.errors import EXIT_BAD_INPUT
    from vadv2_eval.bags.report import error_rows
    from vadv2_eval.bags.score import score_bags

    summary = score_bags(bags, out, topic or (), workers=workers, ray_address=ray, road_map=road_map)
    header, rows = error_rows(summary["errors"])
    typer.echo("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        typer.echo("| " + " | ".join(row) + " |")
    typer.echo(f"{summary['frames']} plans of {len(summary['bags'])} bags: {out / 'report.html'}")
    for left in summary["left_out"]:
        sys.stderr.write(f"vadv2: left out: {left['why']}\n")
    raise typer.Exit(EXIT_BAD_INPUT if summary["left_out"] else 0)


def edge_cases(
    driver: Annotated[list[str], typer.Option(help="As for closed-loop; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder for result.json, report.html and pictures.")],
    split: Annotated[str, typer.Option(help="val, test, or a folder.")] = "test",
    seeds: Annotated[int, typer.Option(help="Drives a driver, over all scenarios in turn.", min=1)] = 40,
    model: Annotated[str, typer.Option(help="Folder of the driver `model`; empty: the default system.")] = "",
    plan_hz: Annotated[float, typer.Option(help="As for closed-loop.", min=0.1)] = 10.0,
    words_every: Annotated[float, typer.Option(help="As for closed-loop.", min=0.0)] = 1.0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
) -> None:
    """The simulator's scenarios grouped by ability: a score each, and for every failure a picture of its first mistake.

    Example: `vadv2 eval edge-cases --driver expert --out out/edge_cases --seeds 40 --workers 2`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.closed_loop.report import ability_table, write_report
    from vadv2_eval.closed_loop.run import ClosedLoopPlan, evaluate
    from vadv2_eval.closed_loop.wheels import pace_of
    from vadv2_eval.jobs import ResultStore

    pace = pace_of(plan_hz, words_every)
    plan = ClosedLoopPlan(tuple(driver), split, seeds, pictures=str(out / "pictures"), model=model, pace=pace)
    result = evaluate(plan, ResultStore(out / "drives.jsonl"), workers=workers)
    write_json_atomic(out / "result.json", result)
    write_report(out / "report.html", result)
    typer.echo(ability_table(result))


def rate(
    run: Annotated[
        Path,
        typer.Argument(
            help="rosbag2 with pictures, the model's and the truth's reasoning; or a folder of eval scenes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the page, its key and the ratings.")],
    frames: Annotated[int, typer.Option(help="Frames to show.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Draws frames and order.")] = 0,
    port: Annotated[int, typer.Option(help="Serve the page on this port and save ratings; 0: only write it.")] = 0,
    score: Annotated[list[Path] | None, typer.Option(help="Saved ratings to sum up instead; repeatable.")] = None,
    rig: Annotated[Path, typer.Option(help="Camera rig file, for scenes.")] = Path("config/rig/surround6.yaml"),
) -> None:
    """A page on which a person rates rationales blind: the model's, the narrator's, the model's of another frame.

    Example: `vadv2 eval rate out/drive/bag --out out/rating --port 8080`, then `--score out/rating/ratings/ann.json`
    """
    from vadv2_eval.rating import PAGE, frames_of_bag, rating_summary, serve, write_rating_page
    from vadv2_eval.scenes.spoken import SPOKEN, frames_to_rate

    if score:
        typer.echo(json.dumps(rating_summary(out, score), indent=2))
        return
    shown = frames_to_rate(run, frames, seed, rig) if (run / SPOKEN).is_file() else frames_of_bag(run, frames, seed)
    write_rating_page(out, shown, seed)
    typer.echo(f"{out / PAGE}")
    if port:
        typer.echo(f"http://127.0.0.1:{port}/ until interrupted; ratings go to {out / 'ratings'}")
        serve(out, port).serve_forever()


def drivelm(
    questions: Annotated[Path, typer.Argument(help="DriveLM file with questions and answers.")],
    answers: Annotated[Path, typer.Option(help="Answers: a list of {id, answer}, id = scene_frame_number.")],
    out: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
) -> None:
    """DriveLM answers: by meaning where the answer is from a closed list, BLEU and chrF for free text.

    Example: `vadv2 eval drivelm drivelm_qa.json --answers answers.json`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.reasoning.drivelm import read_answers, read_questions, score_answers

    result = score_answers(read_questions(questions), read_answers(answers))
    typer.echo(json.dumps(result, indent=2))
    if out is not None:
        write_json_atomic(out, result)


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of one bag run.")],
    b: Annotated[Path, typer.Argument(help="Folder of another.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json and comparison.html.")],
) -> None:
    """Two bag runs side by side: B minus A with intervals, and the frames that differ most.

    Example: `vadv2 eval compare out/before out/after --out out/difference`
    """
    from vadv2_eval.bags.compare import compare_runs

    found = compare_runs(a, b, out)
    typer.echo(f"{found['matched']} frames in both, {found['only_a']} only in A, {found['only_b']} only in B")
    for name, by_horizon in found["differences"].items():
        for horizon, value in by_horizon.items():
            if value is not None:
                typer.echo(f"{name} {horizon}: {value['mean']:+.4f} m [{value['low']:+.4f}, {value['high']:+.4f}]")


def bench_pdms(
    out: Annotated[Path | None, typer.Option("--json", help="Write the seconds here.")] = None,
    cases: Annotated[Path | None, typer.Option(help="Case file; default: the public cases of the tests.")] = None,
    repeats: Annotated[int, typer.Option(help="Runs a figure; the best counts.", min=1)] = 3,
) -> None:
    """Seconds for 1, 256 and 4096 proposals of one scene, on one core, for the slowest case and for 40 tracks.

    Example: `vadv2 bench pdms --json out/bench_pdms.json`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.pdms.benchmark import benchmark
    from vadv2_eval.pdms.case_file import PUBLIC_CASES
    from vadv2_eval.pdms.scene_case import read_cases

    result = benchmark(read_cases(cases or PUBLIC_CASES), repeats)
    typer.echo(json.dumps(result, indent=2))
    if out is not None:
        write_json_atomic(out, result)


def regress_short(
    renew: Annotated[bool, typer.Option("--record", help="Keep what is answered now as golden.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Every field that differs.")] = False,
) -> None:
    """The short form that `make test` runs: six made frames through untrained float32 stages, against what is kept.

    Where an answer was changed on purpose, `--record` keeps the new one; commit it with the change. Status 1 where it
    differs.
    """
    from vadv2_eval.regression.short import GOLDEN, check_short, record_short

    if renew:
        record_short(GOLDEN)
        typer.echo(f"recorded: {GOLDEN}")
        return
    found = check_short(GOLDEN)
    typer.echo(found.text(long=long))
    raise typer.Exit(0 if found.same else 1)
