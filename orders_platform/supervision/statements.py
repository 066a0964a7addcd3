"""How a day's statement is made: by this process, or, where all of very many orders must be gone through, by Spark."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.local.stack import endpoints
from orders_platform.reports.counting import TooManyError
from orders_platform.reports.days import Day
from orders_platform.reports.making import Broker, Made, make_day
from orders_platform.reports.revisions import Changes
from orders_platform.reports.statement import Statement
from orders_platform.settings import Settings
from orders_platform.store import statements
from orders_platform.store.client import Store
from orders_platform.supervision.backends.choose import make_by_batch
from orders_platform.supervision.backends.local_statements import Progress

BY_SPARK = "there are so many that Spark did it"


class Told(NamedTuple):
    """Who hears how far it is: of the choice in words, and of the batch's parts."""

    say: Callable[[str], None]
    progress: Progress


def make_statements(
    store: Store, settings: Settings, days: Sequence[Day], told: Told, *, force: bool = False
) -> list[Made]:
    """Make and keep the statements of days, the oldest first.

    A day that can be built upon the day before is, whatever is stored. From the first on that can't, all that are left
    are made by one batch, if more than `reports.spark_above_orders` orders are stored.

    Raises:
        OrdersError: a service is away, a kept statement was made with other settings, or the batch failed; what was
            kept by then stays, and doing it again is harmless.
    """
    where = endpoints(settings)
    broker = Broker(where.bootstrap_servers, where.kafka_client, settings.kafka.topics)
    rules, most = settings.matching.rules(), settings.reports.spark_above_orders
    made: list[Made] = []
    with suppress(TooManyError):
        for day in days:
            made.append(make_day(store, broker, day, rules, force=force, most_orders=most))
    for together in _consecutive(days[len(made) :]):
        made += _by_batch(store, settings, together, told, force=force)
    return made


def _consecutive(days: Sequence[Day]) -> list[list[Day]]:
    runs: list[list[Day]] = []
    for day in days:
        if runs and runs[-1][-1].end_ms == day.start_ms:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _by_batch(store: Store, settings: Settings, days: Sequence[Day], told: Told, *, force: bool) -> list[Made]:
    first, last = days[0].date, days[-1].date
    told.say(f"{first} to {last}: all of more than {settings.reports.spark_above_orders:,} orders, by a Spark batch.")
    before = {day.date: statements.latest(store, day.date.isoformat()) for day in days}
    make_by_batch(settings, endpoints(settings), first, last, force=force, progress=told.progress)
    made: list[Made] = []
    for day in days:
        kept, old = statements.latest(store, day.date.isoformat()), before[day.date]
        if kept is None:
            raise OrdersError(
                f"The batch has ended, and there is no statement of {day.date}.",
                "Compare the batch's mongo.uri and mongo.database with this process's: `orders config`.",
            )
        statement = msgspec.convert(kept.statement, Statement)
        changes = None if kept.changes is None else msgspec.convert(kept.changes, Changes)
        is_new = old is None or old.statement["revision"] != statement.revision
        made.append(Made(statement, changes, is_new, BY_SPARK))
    return made
