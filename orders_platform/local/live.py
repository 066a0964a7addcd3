"""The live page's server of one home: a process of its own on the loopback interface, which only reads."""

import sys

from orders_platform.local.programs import DIGEST, has_settings_of, own_environment
from orders_platform.local.servers import Server
from orders_platform.settings import Settings

SERVER = Server("live", "The live page's server", "/api/numbers.json", stop_timeout_s=5.0)


def start(settings: Settings) -> None:
    """Start it unless it runs with the settings of now, its port among them. Returns at once.

    Raises:
        StackError: the port is taken, or it can't be started.
    """
    environment = own_environment(settings.home) | {DIGEST: settings.digest()}
    SERVER.start(
        settings.home,
        settings.local.live_port,
        lambda port: [sys.executable, "-m", "orders_platform.live", str(port)],
        environment,
        lambda running: has_settings_of(running.pid, environment),
    )
