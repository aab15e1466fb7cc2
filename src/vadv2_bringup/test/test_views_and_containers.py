"""Layouts show topics that exist; the container copies files that exist and starts what there is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import yaml

from vadv2_bringup.system import CONFIG, TOPICS, WORKSPACE
from vadv2_core.camera import SURROUND_CAMERAS

PUBLIC = {name for topics in TOPICS.values() for name in topics.values()}
PUBLIC |= {f"camera/{c}/image" for c in SURROUND_CAMERAS} | {"diagnostics"}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (str(key), *strings(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_the_rviz_layout_shows_our_topics() -> None:
    layout = yaml.safe_load((CONFIG / "view" / "vadv2.rviz").read_text())
    displays = layout["Visualization Manager"]["Displays"]
    shown = {d["Topic"]["Value"] for d in displays if "Topic" in d}
    assert shown <= PUBLIC and {"markers", "overlay"} <= shown
    assert all(d["Class"].startswith("rviz_default_plugins/") for d in displays)


def test_the_foxglove_layout_shows_our_topics() -> None:
    layout = json.loads((CONFIG / "view" / "vadv2.json").read_text())
    shown = {re.split(r"[./]", s[1:])[0] for s in strings(layout["configById"]) if s.startswith("/")}
    assert shown <= PUBLIC and {"markers", "overlay", "reasoning_text", "vehicle_command"} <= shown
    placed = {s for s in strings(layout["layout"]) if "!" in s}
    assert placed == set(layout["configById"])


def instructions() -> list[tuple[str, str]]:
    text = (WORKSPACE / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_dockerfile_builds_on_a_pinned_long_term_release() -> None:
    known = {"FROM", "ARG", "SHELL", "RUN", "WORKDIR", "COPY", "ENTRYPOINT", "CMD", "ENV"}
    found = instructions()
    assert found[0] == ("FROM", "ros:jazzy-ros-base-noble")
    assert {name for name, _ in found} <= known
    assert all("rm -rf /var/lib/apt/lists" in line for name, line in found if name == "RUN" and "apt-get" in line)


def test_the_container_copies_what_is_there() -> None:
    for name, line in instructions():
        if name == "COPY":
            sources = line.split()[:-1]
            # Models come from training; a tree without any has the folder all the same in a release.
            missing = [s for s in sources if s != "models" and not (WORKSPACE / s).exists()]
            assert not missing, line
    assert os.access(WORKSPACE / "docker" / "entrypoint.sh", os.X_OK)


def test_compose_starts_our_commands() -> None:
    compose = yaml.safe_load((WORKSPACE / "docker" / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert (WORKSPACE / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["network_mode"] == "host" and service["ipc"] == "host"
    assert compose["services"]["drive"]["command"][0] == "run"
