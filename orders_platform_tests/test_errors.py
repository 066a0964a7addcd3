"""The exception tree: what it promises to those who catch it, and that its picture is true."""

import re

import pytest

from orders_platform import errors
from orders_platform.errors import OrdersError


def classes(of: type[OrdersError] = OrdersError) -> list[type[OrdersError]]:
    return [of, *(found for each in of.__subclasses__() for found in classes(each))]


def test_an_error_reads_as_two_sentences() -> None:
    error = OrdersError("Kafka is not running.", "Run `orders up`.")
    assert str(error) == "Kafka is not running. Run `orders up`."
    assert (error.what, error.fix, error.exit_code) == ("Kafka is not running.", "Run `orders up`.", 1)


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_wrong_use_is_status_2_and_all_else_1(kind: type[OrdersError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


def test_the_picture_shows_every_class_under_its_parent() -> None:
    assert errors.__doc__ is not None
    drawn: dict[int, str] = {}
    pictured: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"([│├└─ ]*)([A-Z]\w+)  ", line)
        if found:
            depth = len(found[1]) // 4
            drawn[depth] = found[2]
            pictured[found[2]] = drawn.get(depth - 1, "Exception")
    own = [kind for kind in classes() if kind.__module__ == errors.__name__]
    assert pictured == {kind.__name__: kind.__bases__[0].__name__ for kind in own}
