"""A plan: what differs is found, what people must do first is told, and the second time nothing is done."""

import pytest

from orders_platform.deploy.plan import Plan, Step, carry_out, differences


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, ["a.c"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1, "x": 0}, {"b": 3}]}, ["a[1].b"]),
        ({"a": {}}, {"a": {"b": 1}}, []),
    ],
)
def test_what_the_service_added_is_no_difference(wanted: object, found: object, expected: list[str]) -> None:
    assert differences(wanted, found) == expected


def test_steps_are_done_in_their_order_and_only_those_that_do_something() -> None:
    done: list[str] = []
    steps = [
        Step("a", "missing", "make a", {"name": "a"}, lambda: done.append("a")),
        Step("b", "as wanted"),
        Step("c", "differs", "update c", {"name": "c"}, lambda: done.append("c")),
    ]
    told: list[str] = []
    plan = Plan("somewhere", steps)
    assert carry_out(plan, told.append) == 2
    assert (done, told) == (["a", "c"], ["Make a ...", "Update c ..."])
    assert plan.as_json()["ready"] is True
    assert Plan("x", [Step("d", "missing", needs="gcloud ...")]).as_json()["ready"] is False
