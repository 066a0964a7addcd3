"""The two implementations of the rules behind one shape: the product's and the tests' oracle."""

import json
from collections.abc import Iterable
from typing import Any

import orders_platform.matching as product
from orders_platform import events
from orders_platform_tests import oracle
from orders_platform_tests.oracle import Content


def decoded(contents: Iterable[Content]) -> list[events.Event]:
    """Return the product's events of the oracle's contents, through the product's decoder."""
    arrivals: list[events.Event] = []
    for event in events.decode_many([json.dumps(content).encode() for content in contents]):
        assert isinstance(event, events.Event), event
        arrivals.append(event)
    return arrivals


def content_of(event: events.Event) -> Content:
    """Return the oracle's form of a product's event."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    fields["occurred_at"] = fields.pop("occurred_at_ms")
    return {name: value for name, value in fields.items() if value is not None}


def printed(view: product.View, clock_ms: int | None, tolerance: int, window_ms: int) -> dict[str, Any]:
    """Return the product's document of a view, in the keys of `orders fold` with `rule` added."""
    rules = product.Rules(tolerance_minor=tolerance, payment_window_ms=window_ms)
    order_id = next(iter(view.events)).order_id
    document = product.fold(order_id, view.events, clock_ms, rules, view.overflow)
    return product.document_json(document) | {"rule": document.rule}


def core(arrivals: list[Content], clock_ms: int | None, tolerance: int, window_ms: int) -> dict[str, Any]:
    """Return what the product makes of one order's arrivals."""
    view, _, refused = product.union(None, decoded(arrivals))
    return printed(view, clock_ms, tolerance, window_ms) | {"refused": len(refused)}


def by_oracle(arrivals: list[Content], clock_ms: int | None, tolerance: int, window_ms: int) -> dict[str, Any]:
    """Return what the oracle makes of one order's arrivals."""
    lines = [json.dumps(content).encode() for content in arrivals]
    (document,), rejections = oracle.fold_lines(lines, clock_ms, tolerance, window_ms)
    kept = {oracle.canonical(content): content for content in arrivals}
    first = list(kept.values())[: oracle.MOST_EVENTS]
    rule = oracle.assess(first, clock_ms, tolerance, window_ms)["rule"]
    return document | {"rule": rule, "refused": len(rejections)}
