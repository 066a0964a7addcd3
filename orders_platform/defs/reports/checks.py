"""The checks of statements and breaks as asset checks: within a run of its days, elsewhere of the latest."""

from collections.abc import Iterator, Sequence

import dagster as dg

from orders_platform.defs.matching.checks import WHOLE
from orders_platform.defs.reports.assets import ANSWER_S
from orders_platform.defs.resources import MatcherResource
from orders_platform.errors import OrdersError
from orders_platform.reports.checks import OF_BREAKS, OF_STATEMENTS, Asked, Check, Finding, answer


def day_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of both assets; each can be run alone."""
    return [_checks_of("daily_statement", OF_STATEMENTS), _checks_of("breaks", OF_BREAKS)]


def _checks_of(asset: str, its: Sequence[Check]) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.promise, blocking=check.blocking) for check in its
    ]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def asked(context: dg.AssetCheckExecutionContext, matcher: MatcherResource) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        for check, found in _answers([each for each in its if each.name in selected], context, matcher):
            context.log.info(f"{check.name}: {found.text}")
            yield dg.AssetCheckResult(
                passed=found.passed,
                check_name=check.name,
                asset_key=asset,
                severity=dg.AssetCheckSeverity.ERROR if found.grave else dg.AssetCheckSeverity.WARN,
                description=found.text,
                metadata=found.figures,
            )

    return asked


def _answers(
    its: Sequence[Check], context: dg.AssetCheckExecutionContext, matcher: MatcherResource
) -> Iterator[tuple[Check, Finding]]:
    try:
        settings = matcher.settings()
        with matcher.mongo.store(settings, ANSWER_S) as store:
            asked = Asked(store, _days_of(context), context.run.tags.get(WHOLE) == "true")
            yield from ((check, answer(check, asked)) for check in its)
    except OrdersError as error:
        yield from ((check, Finding(False, str(error))) for check in its)


def _days_of(context: dg.AssetCheckExecutionContext) -> list[str] | None:
    """Return the days that the run makes, None if it only checks."""
    run = context.op_execution_context
    return list(run.partition_keys) if run.has_partition_key or run.has_partition_key_range else None
