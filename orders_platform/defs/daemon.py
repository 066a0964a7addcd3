"""Dagster's daemon, but for clocks that are set back: `python -m orders_platform.defs.daemon --workspace FILE`.

Dagster looks after a sensor again when the wall clock is past its latest tick. So a clock that is set back by five
minutes, or was ahead when the machine started, would leave the matcher without its supervisor for as long.
"""

import logging
import threading
import time

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._daemon.cli import run_command

LOOK_S = 5.0
AHEAD_MAX_S = 30.0
"""A tick that is this far in the future was made by another clock."""
_log = logging.getLogger("orders_platform.daemon")


def bring_back(instance: DagsterInstance) -> list[str]:
    """Let the sensors tick whose latest tick lies in the future; return their names."""
    brought = []
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        data, now_s = state.instigator_data, time.time()
        if not isinstance(data, SensorInstigatorData):
            continue
        if max(data.last_tick_timestamp or 0.0, data.last_tick_start_timestamp or 0.0) > now_s + AHEAD_MAX_S:
            ticked = data._replace(last_tick_timestamp=now_s, last_tick_start_timestamp=now_s)
            instance.update_instigator_state(state.with_data(ticked))
            brought.append(state.instigator_name)
    return brought


def watch() -> None:
    """Bring sensors back for as long as this process lives."""
    with DagsterInstance.get() as instance:
        while True:
            time.sleep(LOOK_S)
            try:
                if brought := bring_back(instance):
                    _log.warning("The clock was set back: %s tick again.", ", ".join(brought))
            except Exception:
                # The database is away or busy. Whatever it is: the daemon itself must not end by it.
                _log.exception("Whether the clock was set back can't be told.")


if __name__ == "__main__":
    threading.Thread(target=watch, name="clock", daemon=True).start()
    run_command()
