from setuptools import find_packages, setup

setup(
    name="vadv2_sim",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"vadv2_sim": ["towns/*/*.xml", "towns/*/*.json"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vadv2_sim"]),
        ("share/vadv2_sim", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    maintainer="VADv2 maintainers",
    maintainer_email="maintainers@vadv2.example",
    license="Apache-2.0",
    entry_points={"console_scripts": ["sim_node = vadv2_sim.sim_node:main"]},
)
