"""`python -m orders_platform.live PORT`: the live page's server of the home that `ORDERS_HOME` names."""

import sys

import uvicorn

from orders_platform.live.server import Live
from orders_platform.live.watching import Watching
from orders_platform.settings import Settings


def main(port: int) -> None:
    """Serve until the process is ended."""
    settings = Settings.load()
    app = Live(settings, Watching(settings)).app()
    # Open pages hold their streams open: they are cut off, and come back by themselves.
    uvicorn.run(app, host=settings.live.host, port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
