"""A failed run tells at once, daemon or not. Crashed runs run no hook: the sensor finds them."""

import time

import dagster as dg

from orders_platform.alerts import causes
from orders_platform.alerts.ledger import began
from orders_platform.defs.alerts.sources import TOLD_TAG, days_of, failing_run, words_for
from orders_platform.defs.webhook import WebhookResource
from orders_platform.errors import OrdersError
from orders_platform.settings import Settings

_TOLD = {TOLD_TAG: "told"}


@dg.failure_hook(required_resource_keys={"webhook"})
def tell_failure(context: dg.HookContext) -> None:
    """Tell that a job has begun to fail. What can't be delivered, the sensor tells."""
    webhook: WebhookResource = context.resources.webhook
    run = context.instance.get_run_by_id(context.run_id)
    text = words_for(context.op_exception)
    if run is None or text is None or TOLD_TAG in run.tags:
        return
    if (before := failing_run(context.instance, run)) is not None:
        if TOLD_TAG in before.tags:
            context.instance.add_run_tags(context.run_id, _TOLD)
        return  # it began earlier
    try:
        settings = Settings.load()
        address = webhook.address(settings)
        if address is None:
            return
        cause = causes.run_failed(context.job_name, days_of(run), text, context.run_id)
        answer = webhook.send(settings, address, [began(cause, time.time_ns() // 1_000_000)])
    except OrdersError as error:
        context.log.warning(f"The failure could not be told. {error}")
        return
    if answer.arrived:
        context.instance.add_run_tags(context.run_id, _TOLD)
    else:
        context.log.warning(f"The failure could not be told: {answer.why}. The sensor `alerts` tries again.")
