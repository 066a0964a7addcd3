"""What must hold for every set of events: equality with the oracle, and the algebra that everything above rests on."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

import orders_platform.matching as product
from orders_platform_tests import oracle, strategies
from orders_platform_tests.matching.engines import core, decoded, printed
from orders_platform_tests.oracle import Content

orders_of_arrival = st.randoms(use_true_random=False)


def view_of(contents: list[Content], clock_ms: int = 0) -> product.View:
    return product.union(None, decoded(contents), clock_ms)[0]


def merged(left: product.View, right: product.View) -> product.View:
    """Return the merge of two partial views: the union of their events, the later of their clocks."""
    return product.union(left, right.events, right.clock_ms)[0]


def facts(view: product.View) -> tuple[set[object], int, bool]:
    """Return what a view holds, without the order of arrival."""
    return set(view.events), view.clock_ms, view.overflow


@settings(strategies.patient, max_examples=600)
@given(strategies.event_sets(), strategies.clocks_ms, strategies.tolerances, strategies.windows_ms)
def test_document_equals_the_oracle(
    contents: list[Content], clock_ms: int | None, tolerance: int, window_ms: int
) -> None:
    expected = oracle.document(contents, clock_ms, tolerance, window_ms)
    got = core(contents, clock_ms, tolerance, window_ms)
    assert got.pop("rule") == oracle.assess(contents, clock_ms, tolerance, window_ms)["rule"]
    assert got.pop("refused") == 0
    assert got == expected
    assert list(got) == list(expected)


@settings(strategies.patient, max_examples=150)
@given(strategies.event_sets(), strategies.clocks_ms, strategies.tolerances, orders_of_arrival)
def test_order_of_arrival_and_redelivery_change_nothing(
    contents: list[Content], clock_ms: int | None, tolerance: int, random: Random
) -> None:
    arrivals = contents + random.choices(contents, k=random.randrange(len(contents) + 1))
    random.shuffle(arrivals)
    window_ms = oracle.DEFAULT_WINDOW_MS
    assert core(arrivals, clock_ms, tolerance, window_ms) == core(contents, clock_ms, tolerance, window_ms)


@settings(strategies.patient, max_examples=150)
@given(strategies.event_sets(), strategies.live_clocks_ms, strategies.live_clocks_ms, orders_of_arrival)
def test_partial_views_merge_to_the_whole(contents: list[Content], one_ms: int, other_ms: int, random: Random) -> None:
    # Every event is seen by one writer or by both.
    seen_by = [random.choice(["one", "other", "both"]) for _ in contents]
    one = view_of([each for each, by in zip(contents, seen_by, strict=True) if by != "other"], one_ms)
    other = view_of([each for each, by in zip(contents, seen_by, strict=True) if by != "one"], other_ms)
    whole = view_of(contents, max(one_ms, other_ms))
    assert facts(merged(one, other)) == facts(merged(other, one)) == facts(whole)
    for view in (merged(one, other), merged(other, one)):
        assert printed(view, view.clock_ms, 0, 1000) == printed(whole, whole.clock_ms, 0, 1000)


@settings(strategies.patient, max_examples=100)
@given(st.lists(st.tuples(strategies.event_sets(max_size=5), strategies.live_clocks_ms), min_size=3, max_size=3))
def test_merging_is_associative_commutative_and_idempotent(parts: list[tuple[list[Content], int]]) -> None:
    one, two, three = (view_of(contents, clock_ms) for contents, clock_ms in parts)
    left = merged(merged(one, two), three)
    right = merged(one, merged(two, three))
    backwards = merged(three, merged(two, one))
    assert facts(left) == facts(right) == facts(backwards)
    assert facts(merged(left, left)) == facts(left)
    assert facts(merged(left, two)) == facts(left)
    clock_ms = left.clock_ms
    assert printed(left, clock_ms, 1, 60_000) == printed(right, clock_ms, 1, 60_000)
    assert printed(left, clock_ms, 1, 60_000) == printed(backwards, clock_ms, 1, 60_000)


@settings(strategies.patient, max_examples=100)
@given(strategies.event_sets(), strategies.live_clocks_ms, strategies.live_clocks_ms)
def test_a_clock_is_never_lowered(contents: list[Content], known_ms: int, later_ms: int) -> None:
    view = view_of(contents, known_ms)
    assert product.union(view, [], later_ms)[0].clock_ms == max(known_ms, later_ms)
    assert product.union(view, decoded(contents), later_ms)[0].clock_ms == max(known_ms, later_ms)
    assert view.clock_ms == known_ms


@settings(strategies.patient, max_examples=100)
@given(strategies.event_sets(), strategies.event_sets(), strategies.live_clocks_ms)
def test_union_says_what_is_new_and_leaves_the_view_as_it_was(
    known: list[Content], arrivals: list[Content], clock_ms: int
) -> None:
    view = view_of(known)
    before = list(view.events)
    after, added, refused = product.union(view, decoded(arrivals), clock_ms)
    assert list(view.events) == before
    assert list(after.events) == before + added
    assert set(added) == set(decoded(arrivals)) - set(before)
    assert refused == []


@settings(strategies.patient, max_examples=150)
@given(strategies.event_sets(), strategies.live_clocks_ms, strategies.live_clocks_ms, strategies.tolerances)
def test_only_the_statuses_marked_so_change_with_the_clock(
    contents: list[Content], one_ms: int, other_ms: int, tolerance: int
) -> None:
    earlier_ms, later_ms = sorted([one_ms, other_ms])
    earlier = core(contents, earlier_ms, tolerance, oracle.DEFAULT_WINDOW_MS)
    later = core(contents, later_ms, tolerance, oracle.DEFAULT_WINDOW_MS)
    turned = {"awaiting_order": "orphan", "awaiting_payment": "unpaid", "partially_paid": "underpaid"}
    if earlier != later:
        assert later["status"] == turned[earlier["status"]]
        assert later["outcome"] == "break"
    same = set(earlier) - {"status", "outcome"}
    assert {key: earlier[key] for key in same} == {key: later[key] for key in same}
    if later["status"] not in turned.values():
        assert earlier == later


@settings(strategies.patient, max_examples=100)
@given(strategies.event_sets(), strategies.clocks_ms, strategies.tolerances)
def test_figures_add_up(contents: list[Content], clock_ms: int | None, tolerance: int) -> None:
    got = core(contents, clock_ms, tolerance, oracle.DEFAULT_WINDOW_MS)
    assert got["net_minor"] == got["captured_minor"] - got["refunded_minor"] - got["charged_back_minor"]
    assert got["reasons"] == sorted(set(got["reasons"]))
    assert (got["settled_at"] is not None) == (got["status"] == "matched")
    assert got["event_count"] == len({oracle.canonical(content) for content in contents})
