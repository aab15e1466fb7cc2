"""Shared libraries and programs that come from the system's own packages (Debian and Ubuntu names)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

PROGRAMS = {"cmake": "cmake", "g++": "g++", "make": "make"}
"""Program to package: the messages are built with them."""

LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libEGL_mesa.so.0": "libegl-mesa0",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libatomic.so.1": "libatomic1",
    "libexpat.so.1": "libexpat1",
}
"""Shared library to package: the renderer, SUMO and Fast DDS load them."""

SOFTWARE_RENDERER = ("/usr/lib/*/dri/*swrast*", "/usr/lib/*/libgallium*", "/usr/lib/*/dri/*dri.so")


class MissingProgramError(Exception):
    """Something the build cannot do without; its text names the package."""


def missing() -> list[str]:
    """Packages whose programs or libraries this machine lacks, in a fixed order."""
    lacking = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            lacking.append(package)
    if not any(next(Path("/").glob(pattern.lstrip("/")), None) for pattern in SOFTWARE_RENDERER):
        lacking.append("libgl1-mesa-dri")
    return lacking


def install(packages: list[str], say: Callable[[str], None]) -> bool:
    """Install packages with apt where this runs as root; whether that worked."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"      installing {' '.join(packages)}")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for attempt in (command, ["apt-get", "update"], command):
        done = subprocess.run(attempt, env=environment, capture_output=True, check=False).returncode == 0
        if done and attempt is command:
            return True
    return False


def require(say: Callable[[str], None]) -> None:
    """Install what is missing, or name it.

    Raises:
        MissingProgramError: where a build tool is missing and cannot be installed. A missing library is only named: it
            stops the simulator, not the driver.
    """
    lacking = missing()
    if not lacking or install(lacking, say):
        return
    line = f"missing on this machine: apt-get install {' '.join(lacking)}"
    if any(package in lacking for package in PROGRAMS.values()):
        raise MissingProgramError(line)
    say(f"      {line} (needed by the simulator)")
