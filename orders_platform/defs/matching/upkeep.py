"""Repair the matcher, and replay what lies in Kafka: what people ask for now and then, as the commands do it."""

import dagster as dg
import msgspec
from pydantic import Field

from orders_platform.defs.alerts.hooks import tell_failure
from orders_platform.defs.resources import MatcherResource
from orders_platform.local.stack import endpoints
from orders_platform.matcher.replaying import Replayed, replay_stretch, stretch
from orders_platform.store import matcher_records as records
from orders_platform.supervision.control import Control

_TOLD_EVERY = 100_000  # messages


class Replay(dg.Config):
    """What to replay."""

    begin: str = Field(
        description="`earliest`, a time at which the broker received a message (2026-01-05T10:00:00Z), or offsets "
        "(orders:0:1200,orders:1:0)."
    )
    topic: str | None = Field(default=None, description="Only this topic.")


@dg.op
def repair_the_matcher(context: dg.OpExecutionContext, matcher: MatcherResource) -> None:
    """Put the checkpoint aside, let the sensor start a matcher with a new one, and wait until its stream runs."""
    control = Control(matcher.settings(), context.log.info)
    try:
        aside, beat = control.repair_beside_daemon()
    finally:
        control.close()
    where = "There was no checkpoint." if aside is None else f"The old checkpoint is {aside}."
    context.log.info(f"{where} The stream of epoch {beat.epoch} runs.")
    context.log_event(_repaired(where, beat))


@dg.op
def replay_the_range(context: dg.OpExecutionContext, config: Replay, matcher: MatcherResource) -> None:
    """Match what lies between the beginning and the topics' ends of now again."""
    settings = matcher.settings()
    where = endpoints(settings)
    servers, client = where.bootstrap_servers, where.kafka_client
    what = stretch(config.begin, config.topic, settings.kafka.topics, servers, client)
    total, done = what.messages(), 0

    def advance(messages: int) -> None:
        nonlocal done
        before, done = done, done + messages
        if done // _TOLD_EVERY > before // _TOLD_EVERY:
            context.log.info(f"{done:,} of {total:,} messages.")

    with matcher.mongo.store(settings) as store:
        replayed = replay_stretch(store, what, servers, client, settings.matching.rules(), advance)
    context.log_event(_replayed(config, replayed))


@dg.job(
    description=(
        "Put a damaged checkpoint aside and begin a new one at the offsets that were last committed. Nothing is lost "
        "or counted twice. As `orders matcher repair`."
    ),
    tags={"dagster/max_retries": "0"},
    executor_def=dg.in_process_executor,
    hooks={tell_failure},
)
def repair_matcher() -> None:
    """Repair, in Dagster."""
    repair_the_matcher()


@dg.job(
    description=(
        "Match again what lies in Kafka from a point on, beside the running matcher; changes nothing that was right. "
        "As `orders replay`."
    ),
    executor_def=dg.in_process_executor,
    hooks={tell_failure},
)
def replay_range() -> None:
    """Replay, in Dagster."""
    replay_the_range()


JOBS = [repair_matcher, replay_range]


def _repaired(text: str, beat: records.Heartbeat) -> dg.AssetObservation:
    figures = {"deed": "repair", "epoch": beat.epoch, "pid": beat.pid}
    return dg.AssetObservation("matched_orders", description=text, metadata=figures)


def _replayed(config: Replay, done: Replayed) -> dg.AssetObservation:
    text = (
        f"{done.messages:,} messages matched again: {done.inserted:,} documents added, {done.updated:,} changed, "
        f"{done.unchanged:,} right as they were."
    )
    figures = {"deed": "replay", "begin": config.begin} | msgspec.to_builtins(done)
    return dg.AssetObservation("matched_orders", description=text, metadata=figures)
