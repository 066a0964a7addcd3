"""The webhook, for the sensor `alerts`, its hook, and assets of your own."""

import time
from collections.abc import Sequence

import dagster as dg

from orders_platform.alerts import webhook
from orders_platform.alerts.ledger import Notice
from orders_platform.alerts.payloads import SHAPES
from orders_platform.alerts.webhook import Answer
from orders_platform.settings import Settings

NOT_SET = "No webhook is set: alerts.webhook_url (ORDERS_ALERTS__WEBHOOK_URL), or alerts.webhook_url_file."


class WebhookResource(dg.ConfigurableResource):
    """Where alerts go: what `url` names, by `dg.EnvVar` as it is a secret, else what the settings name."""

    url: str | None = None

    def address(self, settings: Settings) -> str | None:
        """Return the address, or None where none is set.

        Raises:
            SettingsError: its file can't be read.
        """
        return self.url or settings.alerts.given_url() or None

    def send(self, settings: Settings, address: str, notices: Sequence[Notice]) -> Answer:
        """Send all notices in one message.

        Raises:
            SettingsError: the address is not one that alerts can go to.
        """
        shape = SHAPES[settings.alerts.format]
        return webhook.post(address, shape(settings.mongo.database, notices, time.time_ns() // 1_000_000))
