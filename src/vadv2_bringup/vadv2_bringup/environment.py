"""The environment every process of this workspace runs in: the one place where it is written.

The launcher, the supervisor, the launch files and the tests take it from here. Standard library only: the launcher
reads it with whatever ``python3`` a machine has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parents[3]
"""Root of the workspace: the folder of ``vadv2`` and the Makefile."""

LOCAL_PROFILE = WORKSPACE / "config" / "dds" / "local.xml"
"""Fast DDS for nodes of one machine. Six cameras arrive, and nothing leaves the machine."""

LARGE_DATA = "LARGE_DATA?max_msg_size=1MB&sockets_size=1MB&non_blocking=true"
"""Fast DDS's transports for many machines, where `DISCOVERY_RANGE` asks for them; its defaults lose a quarter of six
cameras' images between processes."""

DISCOVERY_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
"""ROS's own switch: SUBNET, or SYSTEM_DEFAULT, asks for other hosts; unset or LOCALHOST stays on this machine."""

OWN_MIDDLEWARE = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "ROS_DISCOVERY_SERVER",
    "RMW_IMPLEMENTATION",
    "CYCLONEDDS_URI",
    "ZENOH_SESSION_CONFIG_URI",
)
"""A user who sets one of these has arranged his network himself: nothing of it is changed."""

DEFAULTS = {
    # Threads of a pool that wait must not spin: six processes share a few cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # Node output reaches the terminal line by line and in the order it was said.
    "PYTHONUNBUFFERED": "1",
    "RCUTILS_COLORIZED_OUTPUT": "0",
}
"""Set where the user has not set them."""


TRAINING = {
    # glibc gives a freed tensor's pages back and asks for them again in the next step: a quarter of a step's time.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Likewise for `./vadv2 train`; a vehicle's processes share their memory and keep glibc's ways."""


def middleware_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What is set so that nodes find each other, and nobody else unless it is asked for.

    Args:
        environment: The user's.

    Returns:
        Variables to set; none where the user has set one of `OWN_MIDDLEWARE`.
    """
    if any(environment.get(name) for name in OWN_MIDDLEWARE):
        return {}
    reach = environment.get(DISCOVERY_RANGE, "").upper()
    asked = reach in ("SUBNET", "SYSTEM_DEFAULT") or bool(environment.get("ROS_STATIC_PEERS"))
    if reach == "OFF":
        return {}
    # Not LOCALHOST: under it rmw_fastrtps puts its own transports in the place of these, and images are lost.
    if asked:
        return {"FASTDDS_BUILTIN_TRANSPORTS": LARGE_DATA, DISCOVERY_RANGE: reach or "SUBNET"}
    return {"FASTDDS_DEFAULT_PROFILES_FILE": str(LOCAL_PROFILE), DISCOVERY_RANGE: "SUBNET"}


def default_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Everything that is set beside paths: `middleware_settings`, and those of `DEFAULTS` the user has not set."""
    return {**middleware_settings(environment), **{n: v for n, v in DEFAULTS.items() if n not in environment}}


def sources_distribution(environment: Mapping[str, str]) -> bool:
    """Whether a ROS 2 distribution is sourced; its rclpy, colcon and messages are then used."""
    return bool(environment.get("ROS_DISTRO")) and bool(environment.get("AMENT_PREFIX_PATH"))


def _site_packages(prefix: Path) -> Path:
    found = sorted(prefix.glob("lib/python3.*/site-packages"))
    return found[0] if found else prefix / "lib" / "site-packages"


def _joined(first: list[Path], rest: str) -> str:
    parts = [str(p) for p in first]
    parts += [p for p in rest.split(os.pathsep) if p and p not in parts]
    return os.pathsep.join(parts)


def runtime_environment(base: Mapping[str, str] | None = None, workspace: Path = WORKSPACE) -> dict[str, str]:
    """The environment for a process that runs this workspace's code.

    Args:
        base: What to start from; the caller's environment by default. What the user has set is kept.
        workspace: Root of the workspace.

    Returns:
        A whole environment for `subprocess` or `os.execve`: the ROS prefixes, library and Python paths of the installed
        packages and, where no distribution is sourced, of the embedded runtime; and `default_settings`.
    """
    environment = dict(os.environ if base is None else base)
    environment.update(default_settings(environment))
    installed = sorted(p.parent.parent for p in (workspace / "install").glob("*/share/ament_index"))
    messages = workspace / "install" / "vadv2_msgs"
    prefixes, libraries, modules = list(installed), [messages / "lib"], [_site_packages(messages)]
    if not sources_distribution(environment):
        venv = workspace / ".venv"
        prefixes.append(venv)
        libraries.append(venv / "lib")
        libraries += sorted(_site_packages(venv).glob("ros_*.libs"))
        # The wheels' own start-up hook sets the library path and starts Python a second time; it is set here already.
        environment["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    environment["AMENT_PREFIX_PATH"] = _joined(prefixes, environment.get("AMENT_PREFIX_PATH", ""))
    environment["LD_LIBRARY_PATH"] = _joined(libraries, environment.get("LD_LIBRARY_PATH", ""))
    environment["PYTHONPATH"] = _joined(modules, environment.get("PYTHONPATH", ""))
    return environment


def command_environment(command: str, workspace: Path = WORKSPACE) -> dict[str, str]:
    """`runtime_environment` of a ``./vadv2`` command, with `TRAINING` where it trains and the user has not set it."""
    environment = runtime_environment(workspace=workspace)
    return {**TRAINING, **environment} if command == "train" else environment


def workspace_python(workspace: Path = WORKSPACE) -> str:
    """The interpreter of the workspace's environment; the running one where there is none (a container)."""
    python = workspace / ".venv" / "bin" / "python"
    return str(python) if python.exists() else sys.executable
