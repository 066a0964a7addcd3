"""Google's Dataproc for assets and jobs."""

from typing import Any

import dagster as dg

from orders_platform.errors import SettingsError
from orders_platform.settings import Settings
from orders_platform.supervision.backends.dataproc_clients import Dataproc


class DataprocResource(dg.ConfigurableResource):
    """Dataproc of the project and region that it is given, else of those that the settings name.

    It needs no key: the clients take the credentials of the environment. `endpoint` is for tests on this machine.
    """

    project: str | None = None
    region: str | None = None
    endpoint: str | None = None

    def service(self) -> Dataproc:
        """Return what gives the clients: `with dataproc.service().jobs() as jobs: ...`.

        Raises:
            SettingsError: no project or no region is named, or the endpoint is not on this machine.
        """
        given: dict[str, Any] = {"project": self.project, "region": self.region}
        found = Settings.load({"dataproc": {name: value for name, value in given.items() if value}}).dataproc
        if not found.project or not found.region:
            raise SettingsError(
                "No project or no region of Google Cloud is set.", "Set dataproc.project and dataproc.region."
            )
        return Dataproc(found.project, found.region, self.endpoint)
