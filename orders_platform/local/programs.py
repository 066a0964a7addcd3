"""What every long-lived program of ours is started with, and how one that runs with other settings is told."""

import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from orders_platform.local import processes
from orders_platform.surroundings import PREFIX, ROOT, setting_variables

DIGEST = "ORDERS_SETTINGS_DIGEST"
"""Carries `Settings.digest`, where a program is to be started anew when `orders.toml` says something else."""


def own_environment(home: Path) -> dict[str, str]:
    """Return the environment of a program of this home: our own settings, secrets among them, as it reads them as we
    did."""
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and name != processes.MARKER}
    given = {"ORDERS_HOME": str(home.resolve()), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return processes.environment(own | given)


def has_settings_of(pid: int, environment: Mapping[str, str]) -> bool:
    """Tell whether a process was started with the settings of an environment."""
    try:
        running = psutil.Process(pid).environ()
    except psutil.Error:
        return False
    return _settings_of(running) == _settings_of(environment)


def _settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    told = setting_variables(environment)
    return told | {DIGEST: environment[DIGEST]} if DIGEST in environment else told
