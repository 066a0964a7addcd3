"""`python -m orders_platform.live PORT`: the live page's server of the home that `ORDERS_HOME` names."""

import sys

import uvicorn

from orders_platform.live.server import Live
from orders_platform.live.watching import Watching
from orders_platform.settings import Settings

ENDING_S = 3
"""Open pages hold their streams open, which end by themselves; whatever else takes longer is cut off."""


def main(port: int) -> None:
    """Serve until the process is ended."""
    settings = Settings.load()
    live = Live(settings, Watching(settings))
    config = uvicorn.Config(
        live.app(),
        host=settings.live.host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=ENDING_S,
        proxy_headers=False,  # the gate goes by who is connected, not by who that says it is
    )
    server = uvicorn.Server(config)
    live.is_ending = lambda: server.should_exit
    server.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
