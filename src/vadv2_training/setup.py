from setuptools import find_packages, setup

setup(
    name="vadv2_training",
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={"vadv2_training": ["templates/*.jinja"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vadv2_training"]),
        ("share/vadv2_training", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    maintainer="VADv2 maintainers",
    maintainer_email="maintainers@vadv2.example",
    license="Apache-2.0",
)
