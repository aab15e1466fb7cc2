import os
from pathlib import Path

from setuptools import find_packages, setup

# The workspace keeps launch/ and config/ at its root, where people look for them; the package installs them.
workspace = Path(__file__).resolve().parents[2]


def shared(folder):
    found = {}
    for path in sorted((workspace / folder).rglob("*")):
        if path.is_file():
            place = Path("share/vadv2_bringup") / path.parent.relative_to(workspace)
            found.setdefault(str(place), []).append(os.path.relpath(path))
    return list(found.items())


setup(
    name="vadv2_bringup",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"vadv2_bringup": ["*.jinja"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vadv2_bringup"]),
        ("share/vadv2_bringup", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
    ],
    install_requires=["setuptools"],
    maintainer="VADv2 maintainers",
    maintainer_email="maintainers@vadv2.example",
    license="Apache-2.0",
    entry_points={"console_scripts": ["vadv2 = vadv2_bringup.cli:main"]},
)
