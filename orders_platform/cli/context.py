"""What commands get from around them."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def pass_settings(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Give a command the settings of this process as its argument `settings`; a wrong one ends it before it runs."""

    @functools.wraps(command)
    def with_settings(*args: Any, **options: Any) -> _Result:
        from orders_platform.settings import Settings

        return command(*args, settings=Settings.load(), **options)

    return with_settings
