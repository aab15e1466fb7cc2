"""Pin requirements.in and requirements-ros.in to the versions installed in the environment that runs this.

``requirements.lock`` holds the closure of the first, ``requirements-ros.lock`` what the second adds to it.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# No version of these is right for both interpreters and both kinds of build: torch's own wheel brings what it needs.
LOCAL_SEPARATOR = "+"


def wanted(path: Path) -> list[Requirement]:
    """The requirements of a file, without comments."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Name and version of everything installed that the requirements need, themselves included.

    Raises:
        SystemExit: where one is not installed or not in the allowed range.
    """
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(r, extra) for r in requirements for extra in ("", *r.extras)]
    while queue:
        requirement, extra = queue.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            distribution = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            raise SystemExit(f"{requirement.name}: not installed (expected by requirements; pip install it)") from None
        version = distribution.version.partition(LOCAL_SEPARATOR)[0]
        if not requirement.specifier.contains(version, prereleases=True):
            raise SystemExit(f"{requirement.name}: {version} is installed (expected {requirement.specifier})")
        pins[name] = version
        for line in distribution.requires or []:
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                queue += [(inner, e) for e in ("", *inner.extras)]
    return pins


def write_lock(path: Path, pins: dict[str, str]) -> None:
    """One ``name==version`` a line, sorted."""
    body = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    path.write_text(f"# Written by `make lock` from {path.with_suffix('.in').name}.\n{body}")


def main() -> int:
    """Write both lock files."""
    base = closure(wanted(ROOT / "requirements.in"))
    embedded = closure(wanted(ROOT / "requirements-ros.in"))
    write_lock(ROOT / "requirements.lock", base)
    write_lock(ROOT / "requirements-ros.lock", {n: v for n, v in embedded.items() if n not in base})
    sys.stdout.write(f"{len(base)} packages pinned, {len(embedded)} with the ROS 2 runtime\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
