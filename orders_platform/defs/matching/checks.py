"""The platform's checks as asset checks: to run by hand, in CI, and by the sensor."""

from collections.abc import Iterator

import dagster as dg

from orders_platform.defs.resources import MatcherResource
from orders_platform.supervision.checks import (
    ASKED_SAMPLE,
    COLLECTION,
    NOTHING_EXPIRED,
    Check,
    Result,
    answer,
    nothing_expired,
)

WHOLE = "orders/whole"
"""A run with this tag looks at every order and message, not at a sample."""


def checks_on(asset: str) -> tuple[Check, ...]:
    """Return the checks of an asset."""
    if asset == "matched_orders":
        return COLLECTION
    return (Check("nothing_expired", NOTHING_EXPIRED, nothing_expired(asset)),)


def checks_of(asset: str) -> dg.AssetChecksDefinition:
    """Return the checks of an asset as Dagster takes them; each can be run alone."""
    checks = checks_on(asset)
    specs = [dg.AssetCheckSpec(check.name, asset=asset, description=check.promise) for check in checks]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def asked(context: dg.AssetCheckExecutionContext, matcher: MatcherResource) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        sample = None if context.run.tags.get(WHOLE) == "true" else ASKED_SAMPLE
        with matcher.subject(sample) as subject:
            for check in checks:
                if check.name in selected:
                    result = answer(check, subject)
                    context.log.info(f"{check.name}: {result.text}")
                    yield dg.AssetCheckResult(
                        passed=result.passed,
                        check_name=check.name,
                        asset_key=asset,
                        severity=severity(result),
                        description=result.text,
                        metadata=result.figures,
                    )

    return asked


def evaluation(asset: str, check: Check, result: Result) -> dg.AssetCheckEvaluation:
    """Return a check's result as an event of no run."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=check.name,
        passed=result.passed,
        severity=severity(result),
        description=result.text,
        metadata=result.figures,
    )


def severity(result: Result) -> dg.AssetCheckSeverity:
    """Return how grave a failure is."""
    return dg.AssetCheckSeverity.ERROR if result.grave else dg.AssetCheckSeverity.WARN
