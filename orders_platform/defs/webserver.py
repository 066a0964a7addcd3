"""Dagster's webserver with the statements' files beside it, in one process: `python -m orders_platform.defs.webserver`.

Dagster's pages have no place for a page of ours, and browsers don't open files from a link: so what a run wrote for a
day is served where the link to it is shown. On the loopback interface only, as Dagster asks nobody for a password.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from orders_platform.defs.reports import files
from orders_platform.settings import Settings

HOST = "127.0.0.1"
POLL_MS = 2_000
"""How often an open page asks for news; Dagster's own command has the same."""
_HEADERS = {
    # The page brings its style and its pictures, and needs nothing else from anywhere.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def with_statements(dagster: Starlette, home: Path) -> Starlette:
    """Return Dagster's application with the home's files of statements under `/statements` before it."""

    async def statement(request: Request) -> Response:
        when, name = request.path_params["when"], request.path_params.get("name", files.PAGE)
        file = files.found(home, when, name)
        if file is None:
            text = f"There is no {name} of this day. Materialize daily_statement, and breaks, of the day in Dagster.\n"
            return PlainTextResponse(text, 404, _HEADERS)
        return FileResponse(file, headers=_HEADERS, media_type=files.MEDIA[name])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with dagster.router.lifespan_context(dagster):
            yield

    routes = [
        Route("/statements/{when}", statement),
        Route("/statements/{when}/{name}", statement),
        Mount("/", dagster),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def serve(workspace: Path, port: int) -> None:
    """Serve until told to end.

    Raises:
        SettingsError: a key is unknown or a value is not what its key takes.
    """
    home = Settings.load().home
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
    ):
        dagster = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)
        app = with_statements(dagster, home)
        uvicorn.run(app, host=HOST, port=port, log_level="warning")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
