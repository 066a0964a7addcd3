"""The day's statement and its breaks: one partition a business day."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import msgspec

from orders_platform.defs.reports import files
from orders_platform.defs.reports.days import days_of
from orders_platform.defs.reports.shown import breaks_metadata, statement_metadata
from orders_platform.defs.resources import MatcherResource
from orders_platform.defs.topics.assets import OWNERS
from orders_platform.errors import OrdersError
from orders_platform.local.stack import endpoints
from orders_platform.reports.days import Day
from orders_platform.reports.making import Broker, Made, earlier_match_rates
from orders_platform.reports.revisions import content_sha256
from orders_platform.reports.statement import Statement
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store import schema, statements
from orders_platform.store.client import Store
from orders_platform.streams.offsets import offsets_for_time
from orders_platform.supervision.statements import Told, make_statements

GROUP = "reports"
POOL = "statements"
"""One day at a time: a day follows on the day before, and the matcher's runs must find a place beside them."""
DAYS_A_RUN = 31
"""A backfill makes so many days in one run, in their order: a process for each would cost more than the day itself."""
WAITS_S = (5, 30, 120, 300)
"""How long to wait for a matcher that has not read all of the day, before it is made as `incomplete`."""
ANSWER_S = 20.0
"""MongoDB may take six times as long to add up a large collection."""
_EARLIER_DAYS = 13  # of the page's match rates

DEADLINE_CRON = "0 6 * * *"
SINCE_MIDNIGHT = timedelta(hours=7)
"""The six hours from midnight to the deadline are seven when the clocks are set back in between."""


class Making(dg.Config):
    """How a day is made. `force` makes a revision although the kept one was made with other settings."""

    force: bool = False


def day_assets(days: dg.DailyPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Return the statement and the breaks for these days."""
    return [_daily_statement(days), _breaks(days)]


def _daily_statement(days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        partitions_def=days,
        deps=["matched_orders"],
        group_name=GROUP,
        kinds={"python", "mongodb"},
        owners=OWNERS,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(DAYS_A_RUN),
        freshness_policy=dg.FreshnessPolicy.cron(
            deadline_cron=DEADLINE_CRON, lower_bound_delta=SINCE_MIDNIGHT, timezone=days.timezone
        ),
        description=(
            "What a business day did to the money that customers owe: a bridge in each currency from opening to "
            "closing, which must close to 0, and the orders that don't add up. The link `page` is the statement to "
            "print. Kept in MongoDB with its revisions; made again it says the same, or becomes the next revision. "
            "Today's is provisional."
        ),
        metadata={
            "collection": "statements",
            "how_to_read_it": dg.MetadataValue.md("docs/statements.md"),
            "runbook": dg.MetadataValue.md("docs/operations.md"),
        },
    )
    def daily_statement(
        context: dg.AssetExecutionContext, config: Making, matcher: MatcherResource
    ) -> dg.MaterializeResult:
        settings = matcher.settings()
        wanted = days_of(list(context.partition_keys), days.timezone, settings.reports.time_zone)
        where = endpoints(settings)
        broker = Broker(where.bootstrap_servers, where.kafka_client, settings.kafka.topics)
        versions = []
        with matcher.mongo.store(settings, ANSWER_S) as store:
            schema.migrate(store)
            _wait_for_the_matcher(context, store, broker, wanted[-1])
            for day, made in zip(wanted, _made(context, store, settings, wanted, force=config.force), strict=True):
                page = _page(store, settings, day, made)
                context.log.info(_told(made))
                context.add_asset_metadata(statement_metadata(made, page), partition_key=day.date.isoformat())
                versions.append(content_sha256(made.statement))
        return dg.MaterializeResult(data_version=_version(versions))

    return daily_statement


def _breaks(days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        partitions_def=days,
        deps=["daily_statement"],
        group_name=GROUP,
        kinds={"python", "mongodb", "parquet"},
        owners=OWNERS,
        pool=POOL,
        backfill_policy=dg.BackfillPolicy.multi_run(DAYS_A_RUN),
        description=(
            "The orders that are open at the day's end, by kind, with their age and the amount at risk; as CSV and "
            "Parquet too. Made only of statements that close. `orders resolve` records what somebody decided."
        ),
        metadata={"collection": "breaks", "kinds_of_breaks": dg.MetadataValue.md("docs/statements.md")},
    )
    def breaks(context: dg.AssetExecutionContext, matcher: MatcherResource) -> dg.MaterializeResult:
        settings = matcher.settings()
        versions = []
        with matcher.mongo.store(settings, ANSWER_S) as store:
            for day in days_of(list(context.partition_keys), days.timezone, settings.reports.time_zone):
                statement = _kept(store, day)
                written = files.write_breaks(settings.home, statement)
                context.add_asset_metadata(breaks_metadata(statement, written), partition_key=statement.date)
                versions.append(hashlib.sha256(msgspec.json.encode(statement.breaks)).hexdigest())
        return dg.MaterializeResult(data_version=_version(versions))

    return breaks


def _wait_for_the_matcher(context: dg.AssetExecutionContext, store: Store, broker: Broker, last: Day) -> None:
    """Come back later if messages from before the last day's end are not matched yet; a few times, not for ever."""
    if context.retry_number >= len(WAITS_S):
        return
    ends = offsets_for_time(broker.bootstrap_servers, broker.client, broker.topics, last.end_ms)
    beat = records.read_heartbeat(store)
    offsets = {} if beat is None else beat.offsets
    unread = sum(
        max(0, end - offsets.get(topic, {}).get(str(at), 0))
        for topic, partitions in ends.items()
        for at, end in partitions.items()
    )
    if unread:
        wait_s = WAITS_S[context.retry_number]
        context.log.warning(f"{unread:,} messages from before the day's end are not matched yet: again in {wait_s} s.")
        raise dg.RetryRequested(max_retries=len(WAITS_S), seconds_to_wait=wait_s)


def _made(
    context: dg.AssetExecutionContext, store: Store, settings: Settings, wanted: Sequence[Day], *, force: bool
) -> list[Made]:
    def progress(counted: int, parts: int) -> None:
        context.log.debug(f"{counted:,} of {parts:,} parts of the orders are counted.")

    return make_statements(store, settings, wanted, Told(context.log.info, progress), force=force)


def _page(store: Store, settings: Settings, day: Day, made: Made) -> Path:
    return files.write_page(settings.home, made, earlier_match_rates(store, day.date, _EARLIER_DAYS))


def _told(made: Made) -> str:
    s = made.statement
    what = "kept" if made.is_new else "nothing new"
    provisional = ", provisional" if s.provisional else ""
    return f"{s.date}: {s.verdict}{provisional}, revision {s.revision} ({what})."


def _kept(store: Store, day: Day) -> Statement:
    kept = statements.latest(store, day.date.isoformat())
    if kept is None:
        raise OrdersError(f"There is no statement of {day.date}.", "Materialize `daily_statement` of that day first.")
    return msgspec.convert(kept.statement, Statement)


def _version(contents: Sequence[str]) -> dg.DataVersion:
    """Return what changes when the content of one of the days does; a run of several days has one version."""
    if len(contents) == 1:
        return dg.DataVersion(contents[0])
    return dg.DataVersion(hashlib.sha256("\n".join(contents).encode()).hexdigest())
