"""The sensor that tells what goes wrong. It looks at what others have found, and asks nothing anew."""

import time

import dagster as dg
import msgspec

from orders_platform.alerts import late, ledger
from orders_platform.alerts.ledger import Ledger
from orders_platform.defs.alerts import sources
from orders_platform.defs.resources import MatcherResource
from orders_platform.defs.webhook import NOT_SET, WebhookResource
from orders_platform.errors import OrdersError
from orders_platform.settings import Settings
from orders_platform.surroundings import duration_text

TICK_S = 30


@dg.sensor(
    minimum_interval_seconds=TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells a webhook of failed checks, an open breaker, late statements and failed runs: each once when it begins "
        "and once when it is over. docs/alerts.md says how to set it up."
    ),
)
def alerts(context: dg.SensorEvaluationContext, matcher: MatcherResource, webhook: WebhookResource) -> dg.SensorResult:
    """Look, remember what is to be told, tell it."""
    now_ms = time.time_ns() // 1_000_000
    try:
        settings = matcher.settings()
        address = webhook.address(settings)
        if address is None:
            return dg.SensorResult(skip_reason=NOT_SET, cursor=context.cursor)
        found = _look(context, matcher, settings, _ledger(context.cursor, now_ms), now_ms)
        if not found.waiting:
            return _result(f"Nothing is to be told; {len(found.told)} told and not over.", found)
        if now_ms < found.not_before_ms:
            pause_s = (found.not_before_ms - now_ms) // 1000
            return _result(f"{len(found.waiting)} wait: the receiver wants {pause_s} s more of peace.", found)
        answer = webhook.send(settings, address, found.waiting)
    except OrdersError as error:
        context.log.warning(str(error))
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    if answer.arrived:
        return _result(f"Told {len(found.waiting)}: {found.waiting[0].title}", ledger.delivered(found))
    reason = f"{len(found.waiting)} wait: {answer.why}; it is tried again."
    context.log.warning(reason)
    return _result(reason, msgspec.structs.replace(found, not_before_ms=now_ms + int(answer.pause_s * 1000)))


def _look(
    context: dg.SensorEvaluationContext, matcher: MatcherResource, settings: Settings, known: Ledger, now_ms: int
) -> Ledger:
    if context.repository_def is None:
        raise AssertionError("Dagster evaluates a sensor with its repository")
    seen = [
        sources.checks(context.instance, context.repository_def, known.keys("check_failed")),
        sources.breaker(settings.home),
        sources.runs(context.instance, known.since_ms),
        _statements(context, matcher, settings, known, now_ms),
    ]
    return ledger.take(
        known,
        [cause for each in seen for cause in each.present],
        {key for each in seen for key in each.over},
        now_ms,
        {key for each in seen for key in each.known},
    )


def _statements(
    context: dg.SensorEvaluationContext, matcher: MatcherResource, settings: Settings, known: Ledger, now_ms: int
) -> sources.Seen:
    zone, deadline = settings.reports.time_zone, settings.alerts.statement_deadline
    told = {key.partition(":")[2] for key in known.keys("statement_late")}
    due = late.due(now_ms, known.since_ms, zone, int(deadline.total_seconds() * 1000))
    dates = sorted(told | set(due))
    if not dates:
        return sources.Seen([], set(), set())
    try:
        with matcher.mongo.store(settings) as store:
            return sources.late_statements(store, dates, zone, duration_text(deadline))
    except OrdersError as error:
        # Whether they are kept is not known; the rest is told all the same.
        context.log.warning(str(error))
        return sources.Seen([], set(), set())


def _ledger(cursor: str | None, now_ms: int) -> Ledger:
    try:
        return Ledger(since_ms=now_ms) if cursor is None else msgspec.json.decode(cursor, type=Ledger)
    except msgspec.MsgspecError:
        return Ledger(since_ms=now_ms)  # of another version


def _result(reason: str, found: Ledger) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=msgspec.json.encode(found).decode())
