"""Start, restart and stop the matcher: runs of seconds, for the sensor's requests and for people.

A request of the sensor is only a reason to look: the run looks again and does what is then to be done. A person who
launches one of these jobs says what is wanted from now on, as `orders matcher` does.
"""

import secrets

import dagster as dg
import msgspec

from orders_platform.defs.alerts.hooks import tell_failure
from orders_platform.defs.resources import MatcherResource
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.supervision import errand
from orders_platform.supervision.errand import Deed, Outcome, Request

REQUEST_TAG = "orders/request"


class Errand(dg.Config):
    """Leave it empty to ask by yourself. The sensor hands on what it saw over time."""

    request: str = ""


def _job(deed: Deed, description: str) -> dg.JobDefinition:
    @dg.op(name=f"{deed}_the_matcher", description=description)
    def run_errand(context: dg.OpExecutionContext, config: Errand, matcher: MatcherResource) -> None:
        settings = matcher.settings()
        if config.request:
            request = msgspec.json.decode(config.request, type=Request)
        else:
            with matcher.mongo.store(settings) as store:
                _wish(deed, store)
            request = Request()
            if deed == "stop":
                _stop(settings)
        outcome = errand.carry_out(settings, deed, request, context.log.info, matcher.make_backend())
        context.log_event(_observation(deed, outcome))

    @dg.job(
        name=f"{deed}_matcher",
        description=description,
        # Whether to try again, and when, is for the sensor alone to say.
        tags={"dagster/max_retries": "0"},
        executor_def=dg.in_process_executor,
        hooks={tell_failure},
    )
    def job() -> None:
        run_errand()

    return job


def _wish(deed: Deed, store: Store) -> None:
    reason = f"{deed} asked for by a person, in Dagster"
    if deed == "stop":
        records.set_desired(store, state="stopped", reason=reason)
    else:
        token = secrets.token_hex(8) if deed == "restart" else None
        records.set_desired(store, state="running", restart_token=token, reset_breaker=True, reason=reason)


def _stop(settings: Settings) -> None:
    from orders_platform.supervision.control import Control

    control = Control(settings)
    try:
        control.stop()
    finally:
        control.close()


def _observation(deed: Deed, outcome: Outcome) -> dg.AssetObservation:
    figures: dict[str, dg.MetadataValue] = {"deed": dg.MetadataValue.text(deed)}
    if outcome.handle is not None:
        figures["epoch"] = dg.MetadataValue.int(outcome.handle.epoch)
        figures["driver"] = dg.MetadataValue.text(outcome.handle.told)
    return dg.AssetObservation("matched_orders", description=" ".join(outcome.told), metadata=figures)


START = _job("start", "Start the matcher and wait for its first sign of life.")
RESTART = _job("restart", "Replace the matcher by one with the settings and the code of now.")
STOP = _job("stop", "Let the matcher finish its batch, and keep it stopped.")
JOBS = [START, RESTART, STOP]
