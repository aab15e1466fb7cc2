"""Prepare the workspace: system libraries, Python environment, ROS 2 runtime, messages and packages.

``make setup`` runs it, and ``./vadv2`` does when something it depends on has changed. Every step is stamped with the
digest of what it was made from, so that a second run costs a few milliseconds; an interrupted run goes on where it was.
Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "src" / "vadv2_bringup")]

import system_libraries  # noqa: E402

from vadv2_bringup.environment import runtime_environment, sources_distribution  # noqa: E402

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "prepared.json"
LOG = VENV / "setup.log"
SUPPORTED = ((3, 11), (3, 12))
# Where the machine that built the ROS wheels kept its Python.
FOREIGN_PREFIX = re.compile(r"/opt/python/cp\d+-cp\d+/(include/python3\.\d+|lib/python3\.\d+/site-packages)")


class SetupError(Exception):
    """A step that cannot go on; its text is the one line the user reads."""


def say(line: str) -> None:
    """One line of progress, apart from what the program started afterwards prints."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def digest_of(paths: list[Path], *words: str) -> str:
    """Digest of files' names and contents and of some words."""
    digest = hashlib.sha256("\0".join(words).encode())
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_state() -> dict[str, str]:
    """Digest by step of what was prepared; empty where nothing was."""
    try:
        state = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(done: dict[str, str]) -> None:
    """Record steps that are done, whole or not at all."""
    beside = STATE.with_suffix(".new")
    beside.write_text(json.dumps({**read_state(), **done}, indent=1))
    beside.replace(STATE)


def locks() -> list[Path]:
    """The lock files in force: a sourced distribution brings its own ROS."""
    names = (
        ["requirements.lock"] if sources_distribution(os.environ) else ["requirements.lock", "requirements-ros.lock"]
    )
    return [ROOT / name for name in names]


def flavour() -> str:
    """What ROS the environment was made for."""
    return os.environ["ROS_DISTRO"] if sources_distribution(os.environ) else "wheels"


def installed_names() -> list[str]:
    """Names of the launch and configuration files: they are linked one by one, so a new one needs a build."""
    folders = (ROOT / "launch", ROOT / "config")
    return sorted(str(p.relative_to(ROOT)) for folder in folders for p in folder.rglob("*") if p.is_file())


def package_digests() -> dict[str, str]:
    """Digest by package of what its colcon build depends on: not of modules, which are linked and not copied."""
    patterns = ("package.xml", "setup.py", "setup.cfg", "CMakeLists.txt", "msg/*.msg")
    found = {}
    for package in sorted(p.parent for p in (ROOT / "src").glob("*/package.xml")):
        files = [path for pattern in patterns for path in package.glob(pattern)]
        names = installed_names() if package.name == "vadv2_bringup" else []
        found[f"build {package.name}"] = digest_of(files, flavour(), str(ROOT), *names)
    return found


def digests() -> dict[str, str]:
    """What each step would be stamped with if it were done now."""
    return {
        "system": digest_of([ROOT / "tools" / "system_libraries.py"]),
        "packages": digest_of(locks(), flavour(), str(ROOT)),
        **package_digests(),
    }


def candidates() -> list[str]:
    """Interpreters to try, the likeliest first."""
    path_python = re.search(r"python(3\.\d+)", os.environ.get("PYTHONPATH", ""))
    names = [f"python{path_python.group(1)}"] if sources_distribution(os.environ) and path_python else []
    names += [sys.executable, "python3.11", "python3.12", "python3"]
    names += [str(p) for p in sorted(Path.home().glob(".pyenv/versions/3.1[12].*/bin/python3"))]
    found = (shutil.which(name) for name in names if name)
    return list(dict.fromkeys(name for name in found if name))


def find_python() -> str:
    """A Python 3.11 or 3.12 that can make environments and build extensions.

    Raises:
        SetupError: naming the package that brings one.
    """
    probe = (
        "import sys, os, sysconfig, importlib.util as u;"
        "h = os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h'));"
        "print(sys.version_info[0], sys.version_info[1], int(u.find_spec('ensurepip') is not None), int(h))"
    )
    lacking = ""
    for name in candidates():
        answer = subprocess.run([name, "-c", probe], capture_output=True, text=True, check=False).stdout.split()
        if len(answer) != 4:
            continue
        version = (int(answer[0]), int(answer[1]))
        if version not in SUPPORTED:
            continue
        if answer[2:] == ["1", "1"]:
            return name
        lacking = f"python{version[0]}.{version[1]}-venv python{version[0]}.{version[1]}-dev"
    if lacking and system_libraries.install(lacking.split(), say):
        return find_python()
    need = lacking or "python3.11 python3.11-venv python3.11-dev"
    raise SetupError(f"no usable Python 3.11 or 3.12 on this machine: apt-get install {need}")


def run_logged(command: list[str], environment: dict[str, str], noun: str, counted: str) -> None:
    """Run a command into the log; on a terminal show how many lines so far began with ``counted``.

    Raises:
        SetupError: with the command's last line where it failed.
    """
    count, tail, shown = 0, "", time.monotonic()
    with (
        LOG.open("a") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            tail = line.strip() or tail
            count += line.lstrip().startswith(counted)
            if sys.stderr.isatty():
                sys.stderr.write(f"\r      {count} {noun}\033[K")
                sys.stderr.flush()
            elif time.monotonic() - shown > 30:
                shown = time.monotonic()
                say(f"      {count} {noun}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    if process.returncode != 0:
        raise SetupError(f"{tail} (all of it: {LOG})")


def make_environment() -> None:
    """A virtual environment that runs; an existing one is kept."""
    if PYTHON.exists():
        works = subprocess.run([str(PYTHON), "-c", "import pip"], capture_output=True, check=False).returncode == 0
        if works:
            return
        shutil.rmtree(VENV)
    system = ["--system-site-packages"] if sources_distribution(os.environ) else []
    subprocess.run([find_python(), "-m", "venv", *system, str(VENV)], check=True)


def forget_torn_packages(site: Path) -> None:
    """Drop the metadata of packages whose installation was cut off, so that pip installs them again.

    pip writes INSTALLER after all other files of a package; RECORD comes out of the wheel with the first of them.
    """
    for info in site.glob("*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)


def site_packages() -> Path:
    """The environment's site-packages."""
    return next(VENV.glob("lib/python3.*/site-packages"))


def install_packages() -> None:
    """Install the pinned packages, mend the wheels' CMake files and put the sources on the path."""
    forget_torn_packages(site_packages())
    arguments = [part for lock in locks() for part in ("-r", str(lock))]
    command = [str(PYTHON), "-m", "pip", "install", "--no-compile", "--progress-bar", "off", *arguments]
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", _ROS_WHEELS_BOOTSTRAP_COMPLETE="1")
    run_logged(command, environment, "packages looked at", "Collecting")
    mend_cmake_files()
    paths = [str(p.parent) for p in sorted((ROOT / "src").glob("*/setup.py"))]
    (site_packages() / "vadv2_workspace.pth").write_text("\n".join(paths) + "\n")


def mend_cmake_files() -> None:
    """Point the ROS wheels' CMake files to this environment: they name the Python of the machine that built them."""
    probe = "import sysconfig as s; print(s.get_path('include'), s.get_path('purelib'), sep='\\n')"
    include, library = subprocess.run(
        [str(PYTHON), "-c", probe], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for path in (VENV / "share").rglob("*.cmake"):
        text = path.read_text()
        mended = FOREIGN_PREFIX.sub(lambda m: include if m.group(1).startswith("include") else library, text)
        if mended != text:
            path.write_text(mended)


def build(packages: list[str]) -> None:
    """Build some of the packages with colcon into ``install/``."""
    environment = runtime_environment(workspace=ROOT)
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment['PATH']}"
    prefixes = [str(VENV), *filter(None, [environment.get("CMAKE_PREFIX_PATH")])]
    environment["CMAKE_PREFIX_PATH"] = os.pathsep.join(prefixes)
    colcon = "import sys; from colcon_core.command import main; sys.exit(main())"
    run_logged(
        [str(PYTHON), "-W", "ignore", "-c", colcon, "--log-base", "log", "build", "--symlink-install", "--base-paths",
         "src", "--packages-select", *packages, "--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF",
         "--no-warn-unused-cli"],
        environment, "packages built", "Finished <<<",
    )  # fmt: skip
    show_messages()


def show_messages() -> None:
    """Link the built messages into the environment, so that its plain ``python`` imports them."""
    messages = ROOT / "install" / "vadv2_msgs"
    modules = next(messages.glob("lib/python3.*/site-packages"))
    (site_packages() / "vadv2_msgs.pth").write_text(f"{modules}\n")
    for library in messages.glob("lib/*.so"):
        link = VENV / "lib" / library.name
        link.unlink(missing_ok=True)
        link.symlink_to(library)


def outdated(wanted: dict[str, str]) -> list[str]:
    """The steps that are to be done, in order."""
    state = read_state()
    steps = [name for name, digest in wanted.items() if state.get(name) != digest]
    lost = [n for n in wanted if n.startswith("build ") and not (ROOT / "install" / n.removeprefix("build ")).is_dir()]
    if not PYTHON.exists():
        return list(wanted)
    return [name for name in wanted if name in steps or name in lost]


def prepare() -> None:
    """Bring every step up to date; does nothing, quickly, where all are.

    Raises:
        SetupError: with one line on what is missing and what brings it.
    """
    wanted = digests()
    if not outdated(wanted):
        return
    VENV.mkdir(exist_ok=True)
    with (VENV / ".setup-lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        # Who waited for another setup finds its work done.
        todo = outdated(wanted)
        if "system" in todo:
            run_step("system libraries and build tools", lambda: system_libraries.require(say))
            write_state({"system": wanted["system"]})
        if "packages" in todo:
            make_environment()
            run_step(f"Python environment in .venv ({flavour()})", install_packages)
            write_state({"packages": wanted["packages"]})
        packages = [name for name in todo if name.startswith("build ")]
        if packages:
            names = [name.removeprefix("build ") for name in packages]
            words = "messages and packages" if len(names) > 3 else ", ".join(names)
            run_step(f"{words}, with colcon", lambda: build(names))
            write_state({name: wanted[name] for name in packages})


def run_step(words: str, step: Callable[[], None]) -> None:
    """One step, announced and timed."""
    say(f"setup: {words} …")
    began = time.monotonic()
    step()
    say(f"setup: done in {time.monotonic() - began:.0f} s")


def main() -> int:
    """Prepare; one line and exit 1 where that cannot be."""
    try:
        prepare()
    except (SetupError, system_libraries.MissingProgramError) as error:
        sys.stderr.write(f"setup: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nsetup: interrupted; the next run goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
