"""Kinds of values on the command line."""

from typing import Any

import click

from orders_platform.surroundings import duration
from orders_platform.times import parse_rfc3339


class Time(click.ParamType[int]):
    """A time as RFC 3339 with an offset or `Z`; becomes UTC milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read one value; a wrong one ends the command with status 2."""
        try:
            return parse_rfc3339(value)
        except ValueError as error:
            self.fail(f"{value!r} is {error}; write it as 2026-01-05T10:00:00Z", param, ctx)


class Duration(click.ParamType[int]):
    """A duration such as `90s`, `30m` or `2h`; becomes milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read one value; a wrong one ends the command with status 2."""
        try:
            return round(duration(value).total_seconds() * 1000)
        except ValueError as error:
            self.fail(f"{value!r} can't be read: {error}", param, ctx)


TIME = Time()
DURATION = Duration()
