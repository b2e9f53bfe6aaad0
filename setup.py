"""Which folders are which packages: `jobs/` is installed as `mfdask.jobs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["mfdask", "mfdask.*"]), "mfdask.jobs"],
    package_dir={"mfdask.jobs": "jobs"},
)
