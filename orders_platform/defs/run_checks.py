"""All asset checks in this process, and their results as JUnit.

Dagster's own commands end with success when a check fails that blocks nothing; whoever calls this reads the results.
"""

import warnings
from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree as Xml

import dagster as dg
import msgspec

from orders_platform.defs.matching.checks import WHOLE
from orders_platform.errors import StackError, UsageError

State = Literal["passed", "warning", "failed"]


class Outcome(msgspec.Struct, frozen=True):
    """One check's result."""

    asset: str
    check: str
    state: State
    text: str


def run_checks(names: frozenset[str] | None, whole: bool, resources: dict[str, object] | None = None) -> list[Outcome]:
    """Run the checks of the assets and the checks that are named, or all; in the order of their names.

    Raises:
        UsageError: there is no such asset or check.
        StackError: the checks could not be run.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from orders_platform.definitions import defs as load

        defs = load()

        keys = sorted(defs.resolve_asset_graph().asset_check_keys, key=lambda key: (key.asset_key.path, key.name))
        known = {name for key in keys for name in (key.asset_key.to_user_string(), key.name)}
        if names is not None and (unknown := sorted(names - known)):
            raise UsageError(f"There is no check {unknown[0]!r}.", f"There are {', '.join(sorted(known))}.")
        wanted = [key for key in keys if names is None or key.asset_key.to_user_string() in names or key.name in names]
        found = _evaluations(dg.Definitions.merge(defs), wanted, whole, resources or {})
    outcomes = []
    for key in wanted:
        each = found.get((key.asset_key.to_user_string(), key.name))
        if each is None:
            raise StackError(f"The check {key.name} gave no result.", "Run `orders status` and `orders doctor`.")
        state: State = (
            "passed" if each.passed else "failed" if each.severity == dg.AssetCheckSeverity.ERROR else "warning"
        )
        outcomes.append(Outcome(key.asset_key.to_user_string(), key.name, state, each.description or ""))
    return outcomes


def _evaluations(
    defs: dg.Definitions, keys: Sequence[dg.AssetCheckKey], whole: bool, resources: dict[str, object]
) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    selection = dg.AssetSelection.checks(*keys)
    job = dg.define_asset_job("orders_check", selection=selection, executor_def=dg.in_process_executor)
    with_job = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    tags = {WHOLE: "true"} if whole else {}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = with_job.resolve_job_def("orders_check").execute_in_process(
            instance=instance, tags=tags, run_config=quiet, resources=resources or None, raise_on_error=False
        )
        evaluations = result.get_asset_check_evaluations()
    # The run has failed too if a blocking check has: what counts is whether all were answered.
    if not result.success and len(evaluations) < len(keys):
        raise StackError(_cause(result), "Run `orders status` and `orders doctor`.")
    return {(each.asset_key.to_user_string(), each.check_name): each for each in evaluations}


def _cause(result: dg.ExecuteInProcessResult) -> str:
    for event in result.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return f"The checks could not be run: {error.message.strip()}"
    return "The checks could not be run."


def to_junit(outcomes: Sequence[Outcome]) -> bytes:
    """Return the outcomes as JUnit XML, one test case a check; a warning passes, with its words as output."""
    failed = [each for each in outcomes if each.state == "failed"]
    suite = Xml.Element("testsuite", name="orders check", tests=str(len(outcomes)), failures=str(len(failed)))
    for each in outcomes:
        case = Xml.SubElement(suite, "testcase", classname=each.asset, name=each.check)
        if each.state == "failed":
            Xml.SubElement(case, "failure", message=each.text)
        else:
            Xml.SubElement(case, "system-out").text = f"{each.state}: {each.text}"
    return Xml.tostring(suite, encoding="utf-8", xml_declaration=True)
