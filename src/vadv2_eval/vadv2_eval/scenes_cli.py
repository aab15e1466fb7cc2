"""The command ``vadv2 eval scenes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def scenes(
    out: Annotated[Path, typer.Option(help="Folder of recording, tokens, stores and page; gone on with.")],
    model: Annotated[
        str, typer.Option(help="Model folder (perception, planner, vlm); empty: the default system.")
    ] = "",
    count: Annotated[int, typer.Option(help="Scenes.", min=1)] = 1000,
    hours: Annotated[float, typer.Option(help="Hours to record; 0: what the scenes need.", min=0.0)] = 0.0,
    reasoning: Annotated[
        list[str] | None, typer.Option(help="on, off, shuffled, true, none; repeatable; the first is the model's.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="Folder of another planner on the same encoder; repeatable.")
    ] = None,
    words: Annotated[int, typer.Option(help="Scenes to reason about in words; 0: none.", min=0)] = 300,
    steps: Annotated[int, typer.Option(help="Denoising passes; 0: the planner's own.", min=0)] = 0,
    route: Annotated[bool, typer.Option(help="Give the planner the route.")] = True,
    past: Annotated[bool, typer.Option(help="Show the encoder the frames before the scene.")] = True,
    prepare: Annotated[bool, typer.Option("--prepare", help="Only record and choose; needs no model.")] = False,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    rig: Annotated[Path, typer.Option(help="Camera rig file.")] = Path("config/rig/surround6.yaml"),
    result: Annotated[Path | None, typer.Option("--json", help="Write the numbers here (fractions).")] = None,
) -> None:
    """PDMS over held-out scenes: model, expert, rules and peers; what reasoning is worth; open loop; what is said.

    Records the expert in the held-out towns, chooses scenes in which driving straight on is not good enough, encodes
    each once, plans with each kind of reasoning, and reasons about a part of them in words. Everything is kept in OUT:
    a stopped run goes on, another planner re-runs only its own plans.

    Example: `vadv2 eval scenes --model out/train/model --out out/scenes --workers 2 --json out/s.json`
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_eval.scenes.plans import REASONINGS
    from vadv2_eval.scenes.run import ScenesPlan, chosen_scenes, evaluate_scenes
    from vadv2_eval.scenes.seen import StackOrder

    kinds = tuple(r for r in reasoning or REASONINGS if r != "none")
    stack = StackOrder(model, rig=str(rig), past=past, steps=steps, route=route)
    plan = ScenesPlan(out, stack, count, hours, kinds, tuple(peer or ()), words, workers=workers)
    if prepare:
        typer.echo(f"{len(chosen_scenes(plan))} scenes: {out / 'scenes.json'}")
        return
    found = evaluate_scenes(plan)
    if result is not None:
        write_json_atomic(result, found)
    typer.echo(markdown(found))


def markdown(found: dict[str, Any]) -> str:
    """The tables of a run."""
    cv = found["constant_velocity_of_expert"]
    lines = [
        f"PDMS-like (v1.1 rules, 4 s, our vehicle and towns) over {found['scenes']} held-out scenes of "
        f"{found['drives']} drives, {found['hard']} hard; constant velocity gets {cv:.3f} of the expert. "
        "Intervals over drives.",
        "",
        "| planner | PDMS | NC | DAC | EP | TTC | C | L2 at 1/2/3 s, m (UniAD; VAD) | box collisions, % (UniAD; ST-P3; "
        "VAD; SparseDrive) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in found["planners"].items():
        subs = " | ".join(f"{v:.3f}" for v in list(s["sub_scores"].values())[:5])
        rows = s["open_loop"]["conventions"]
        l2 = "; ".join("/".join(f"{v:.2f}" for v in rows[i]["l2"]) for i in (0, 2))
        box = "; ".join("/".join(f"{100.0 * v:.2f}" for v in r["box_collisions"]) for r in rows)
        lines.append(f"| {name} | {interval(s['pdms'])} | {subs} | {l2} | {box} |")
    for title, part in (("reasoning", "reasoning_differences"), ("against", "differences")):
        if found[part]:
            lines += [
                "",
                f"| {title}, paired | PDMS difference | better / worse of scenes | Wilcoxon p |",
                "|---|---|---|---|",
            ]
        for name, d in found[part].items():
            p = "none" if d["wilcoxon_p"] is None else f"{d['wilcoxon_p']:.2g}"
            lines.append(f"| {name} | {interval(d, '+.4f')} | {d['better']} / {d['worse']} of {d['scenes']} | {p} |")
    if "estimates" in found:
        lines += ["", f"| words, {found['spoken']} scenes | |", "|---|---|"]
        lines += [f"| {k} | {interval(v) if v else 'none'} |" for k, v in found["estimates"].items()]
        agree = found["stated_and_planned_agree"]
        lines.append(f"| stated and planned agree | {interval(agree) if agree else 'none'} |")
    return "\n".join(lines)


def interval(value: dict[str, Any], form: str = ".3f") -> str:
    """``mean [low, high]``."""
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]"
