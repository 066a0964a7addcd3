"""The instance of a home, made before anybody works on it."""

import warnings
from pathlib import Path


def make(folder: Path) -> None:
    """Make the tables of a new instance; `folder` is its DAGSTER_HOME, with its dagster.yaml.

    One process has to: two that make them at once get into each other's way.
    """
    if (folder / "schedules" / "schedules.db").exists():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dagster import DagsterInstance

        with DagsterInstance.from_config(str(folder)):
            pass
