"""A deployment as a plan: what there is, what is wanted, and the requests that make the one the other.

A plan is made by looking alone. Carrying it out a second time finds everything as wanted and does nothing; one that was
interrupted is made anew and goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

State = Literal["as wanted", "missing", "differs", "unknown"]


class Step(msgspec.Struct, frozen=True):
    """One thing of a deployment: how it is, and what will be done about it."""

    what: str
    state: State
    does: str = ""
    """What will be done; empty where nothing is."""
    request: Mapping[str, Any] | None = None
    """The request, in the API's own field names."""
    act: Callable[[], object] | None = None
    needs: str = ""
    """What a person with more rights must do first."""


class Plan(msgspec.Struct, frozen=True):
    """All steps, in their order."""

    target: str
    steps: Sequence[Step]

    def needs(self) -> list[str]:
        """Return what people must do before it can be carried out."""
        return [step.needs for step in self.steps if step.needs]

    def as_json(self) -> dict[str, Any]:
        """Return the plan for scripts."""
        fields = ("what", "state", "does", "request", "needs")
        steps = [{name: getattr(step, name) for name in fields} for step in self.steps]
        return {"target": self.target, "ready": not self.needs(), "steps": steps}


def carry_out(plan: Plan, tell: Callable[[str], None]) -> int:
    """Do what is to be done, in order; return how many steps that were.

    Raises:
        OrdersError: a step failed; those before it are done, and stay so when it is done again.
    """
    done = 0
    for step in plan.steps:
        if step.act is not None:
            tell(f"{step.does[0].upper()}{step.does[1:]} ...")
            step.act()
            done += 1
    return done


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Return the fields of `wanted` that `found` has otherwise; what it has besides was filled in by the service."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [
            each
            for name, value in wanted.items()
            for each in differences(value, found.get(name), f"{path}.{name}" if path else str(name))
        ]
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple):
        if len(wanted) != len(found):
            return [path]
        pairs = enumerate(zip(wanted, found, strict=True))
        return [each for at, (one, other) in pairs for each in differences(one, other, f"{path}[{at}]")]
    return [] if wanted == found else [path]
