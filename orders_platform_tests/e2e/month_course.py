"""The course of some months: each day's messages come, the day is closed as the schedule would, days that late events
changed are made again, and everything that a statement says is compared with what the ledger expects."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec

from orders_platform.matching import Rules
from orders_platform.reports.days import day_of
from orders_platform.reports.making import Broker, Made, make_day
from orders_platform.reports.statement import as_json
from orders_platform.store import breaks
from orders_platform.store.client import Store
from orders_platform_tests import statement_oracle
from orders_platform_tests.e2e.month_ledger import Ledger, Told
from orders_platform_tests.e2e.month_matcher import MonthMatcher
from orders_platform_tests.e2e.month_stream import HOUR_MS, Shop, deliveries
from orders_platform_tests.statement_oracle import midnight

GRACE_MS = 600_000  # after a day's end it is closed
MINUTE_MS = 60_000
AHEAD_SHARE = 0.12  # of the days: somebody makes them before they end
HELD_SHARE = 0.12  # of the days: the matcher is behind when they are closed
UNSWEPT_SHARE = 0.2  # of the days: nobody passed the deadlines
AGAIN_DAYS = 3  # that many days before are made again each day


class Kept(NamedTuple):
    """A day's last revision: what it told, what was expected, and how many contents were known."""

    told: Told
    expected: Told
    mark: int


class Course:
    """Runs the days; `wrong` collects every difference, with its day."""

    def __init__(self, store: Store, servers: str, shop: Shop, advance: Callable[[], object]) -> None:
        self.shop = shop
        self.store = store
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        """How often each line of a bridge was not 0, each kind of break was there, and so on."""
        rules = shop.rules
        self.ledger = Ledger(shop.zone, rules.tolerance_minor, rules.payment_window_ms)
        self.matcher = MonthMatcher(store, servers, rules, Random(shop.seed + 1))
        self.broker = Broker(servers, {}, self.matcher.topics)
        self.kept: dict[date, Kept] = {}
        self._waiting = deliveries(shop)
        self._published = 0
        self._chance = Random(shop.seed + 2)
        self._advance = advance

    @property
    def rules(self) -> Rules:
        return self.shop.rules

    def run(self) -> None:
        """Live through all days, then close the months: make every day again."""
        days = [self.shop.first + timedelta(days=number) for number in range(self.shop.days)]
        before = self.shop.first - timedelta(days=1)
        self.matcher.clock.now_ms = midnight(self.shop.first, self.shop.zone) + GRACE_MS
        self.make(before)  # nothing has happened yet
        for day in days:
            self._make_ahead(day)
            self._close(day)
            self._check_breaks(day)
            again = [day - timedelta(days=back) for back in range(AGAIN_DAYS, 0, -1)]
            for earlier in again:
                if earlier in self.kept:
                    self.make(earlier, twice=False)  # the end makes each twice
            self._check_chain([*again, day])
            self._advance()
        for day in [before, *days]:
            self.make(day)
            self._advance()
        self._check_chain([before, *days])
        self._check_breaks(days[-1])
        kept = self.store.statements.count_documents({})
        if kept != sum(each.told["revision"] for each in self.kept.values()):
            self.wrong.append(f"{kept} statements are kept")

    def make(self, day: date, *, twice: bool = True) -> None:
        """Make a day, compare everything, and make it again, which must change nothing."""
        end_ms = midnight(day + timedelta(days=1), self.shop.zone)
        self.matcher.clock.now_ms += MINUTE_MS
        is_over = self.matcher.clock.now_ms >= end_ms
        expected, before = self.ledger.expected(day, self.matcher.unread(end_ms), is_over), self.kept.get(day)
        made = self._made(day)
        self.counts["compared"] += 1
        self.counts["from the day before"] += not made.counted_anew
        told = as_json(made.statement)
        self._compare(day, told, expected)
        if before is None:
            self._note(day, made.is_new and told["revision"] == 1 and made.changes is None, "no first revision")
        else:
            self._compare_revision(day, made, told, expected, before)
        if made.is_new:
            self._note(day, told["coverage"]["offsets"] == self.matcher.offsets(), "other offsets are told")
            self.kept[day] = Kept(told, expected, len(self.ledger.arrivals))
            self._tally(told)
        if twice:
            self._again(day, made, told)

    def _make_ahead(self, day: date) -> None:
        if self._chance.random() < AHEAD_SHARE:
            now_ms = midnight(day + timedelta(days=1), self.shop.zone) - self._chance.randrange(1, 20) * HOUR_MS
            self._publish(now_ms)
            self._match(now_ms, now_ms)
            self.make(day)
            self.counts["ahead"] += 1
            if not self.kept[day].told["provisional"]:
                self.wrong.append(f"{day}: it has not ended, and is not provisional")

    def _close(self, day: date) -> None:
        closed_ms = midnight(day + timedelta(days=1), self.shop.zone) + GRACE_MS
        self._publish(closed_ms)
        sweep_at_ms = None if self._chance.random() < UNSWEPT_SHARE else closed_ms
        if self._chance.random() < HELD_SHARE:
            self._match(closed_ms - self._chance.randrange(GRACE_MS, 12 * HOUR_MS), None)
            self.matcher.clock.now_ms = closed_ms
            self.make(day)
            self.counts["incomplete"] += 1
            if self.kept[day].told["verdict"] != "incomplete":
                self.wrong.append(f"{day}: messages were held back, and it is {self.kept[day].told['verdict']}")
        self._match(closed_ms, sweep_at_ms)
        self.make(day)

    def _publish(self, before_ms: int) -> None:
        begun = self._published
        while self._published < len(self._waiting) and self._waiting[self._published].at_ms < before_ms:
            self._published += 1
        self.matcher.publish(self._waiting[begun : self._published])

    def _match(self, before_ms: int, sweep_at_ms: int | None) -> None:
        records = self.matcher.match(before_ms, sweep_at_ms=sweep_at_ms)
        self.ledger.take((record.time_ms, record.value) for record in records)
        self.matcher.clock.now_ms = max(self.matcher.clock.now_ms, before_ms)

    def _made(self, day: date) -> Made:
        self.counts["made"] += 1
        return make_day(self.store, self.broker, day_of(day, self.shop.zone), self.rules)

    def _again(self, day: date, made: Made, told: Told) -> None:
        kept = self.store.statements.count_documents({})
        again = self._made(day)
        same = msgspec.json.encode(again.statement) == msgspec.json.encode(made.statement)
        self._note(day, same and not again.is_new, "made twice it is other bytes")
        self._note(day, again.changes == made.changes, "made twice it tells other changes")
        self._note(day, self.store.statements.count_documents({}) == kept, "made twice it is kept twice")

    def _compare(self, day: date, told: Told, expected: Told) -> None:
        told = told | {"unread": told["coverage"]["unread"]}
        self.wrong += [f"{day}: {each}" for each in statement_oracle.differences(told, expected)]
        self._note(day, told["coverage"]["suspects"] == [], f"suspects {told['coverage']['suspects']}")
        left = {currency: bridge["residual_minor"] for currency, bridge in told["currencies"].items()}
        self._note(day, not any(left.values()), f"a residual is left: {left}")

    def _compare_revision(self, day: date, made: Made, told: Told, expected: Told, before: Kept) -> None:
        moved = statement_oracle.unlike(expected, before.expected)
        self._note(day, made.is_new == bool(moved), f"kept anew: {made.is_new}, though moved: {moved[:5]}")
        if not made.is_new:
            self._note(day, told == before.told, "another statement is told than is kept")
            return
        was, now = before.told, told
        self._note(day, (now["revision"], now["replaces"]) == (was["revision"] + 1, was["revision"]), "its number")
        assert made.changes is not None
        changes = msgspec.to_builtins(made.changes)
        late = self.ledger.late(before.mark, day)
        self._note(day, changes["late_events"] == late, f"late events {changes['late_events']}, expected {late}")
        self._note(day, changes["late_event_count"] == len(late), "the number of late events")
        self.counts["late events named"] += len(late)
        self.counts["revisions"] += 1
        old, new = _listed(before.expected), _listed(expected)
        for name, ids in (
            ("breaks_appeared", new.keys() - old.keys()),
            ("breaks_vanished", old.keys() - new.keys()),
            ("breaks_moved", {each for each in new.keys() & old.keys() if new[each] != old[each]}),
        ):
            self._note(day, changes[name] == sorted(ids), f"{name} {changes[name]}, expected {sorted(ids)}")
            self.counts[name.replace("_", " ")] += len(ids)
        figures = {place: tuple(values) for place, values in changes["figures"].items()}
        flat_was, flat_now = _flat(was), _flat(now)
        wanted = {
            place: (flat_was.get(place), flat_now.get(place))
            for place in flat_was.keys() | flat_now.keys()
            if flat_was.get(place) != flat_now.get(place)
        }
        self._note(day, figures == wanted, f"figures {figures}, expected {wanted}")

    def _check_chain(self, days: list[date]) -> None:
        """Each day opens as the day before closed, as both have been made with the same knowledge."""
        for day in days:
            earlier, later = self.kept.get(day - timedelta(days=1)), self.kept.get(day)
            if day == days[0] or earlier is None or later is None:
                continue
            self.counts["openings"] += 1
            closed = {name: its["closing_minor"] for name, its in earlier.told["currencies"].items()}
            opened = {name: its["opening_minor"] for name, its in later.told["currencies"].items()}
            for name in closed.keys() | opened.keys():
                same = closed.get(name, 0) == opened.get(name, 0)
                self._note(day, same, f"opens with {opened.get(name)} {name}, closed was {closed.get(name)}")
            statuses = earlier.told["orders_by_status"]["closing"], later.told["orders_by_status"]["opening"]
            self._note(day, statuses[0] == statuses[1], f"opens with orders {statuses[1]}, closed were {statuses[0]}")
            were = {each["id"]: each["opened_on"] for name in ("new", "persisting") for each in _of(earlier, name)}
            are = {each["id"]: each["opened_on"] for name in ("persisting", "resolved") for each in _of(later, name)}
            self._note(day, were == are, f"breaks go on otherwise: {sorted(were.items() ^ are.items())[:5]}")

    def _check_breaks(self, day: date) -> None:
        """The collection of breaks is what the last day's statement lists as open."""
        last = self.kept[day].told["breaks"]
        wanted = {each["id"]: (each["at_risk_minor"], each["opened_on"]) for each in last["new"] + last["persisting"]}
        found = {each.id: each for each in breaks.all_breaks(self.store, only_open=True)}
        same = wanted == {name: (each.at_risk_minor, each.opened_on) for name, each in found.items()}
        self._note(day, same, "the collection of breaks is another")
        seen = {each.last_seen_on for each in found.values()}
        self._note(day, seen <= {day.isoformat()}, f"open breaks were last seen on {seen}")

    def _note(self, day: date, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(f"{day}: {otherwise}")

    def _tally(self, told: Told) -> None:
        self.seen[f"verdict {told['verdict']}"] += 1
        for bridge in told["currencies"].values():
            self.seen.update(f"line {line}" for line in statement_oracle.LINES if bridge[line])
        for name in ("new", "persisting", "resolved"):
            self.seen[f"breaks {name}"] += len(told["breaks"][name])
            self.seen.update(f"kind {each['kind']}" for each in told["breaks"][name])
        self.seen["dead letters"] += sum(told["dead_letters"].values())


def _of(kept: Kept, name: str) -> list[Any]:
    return kept.told["breaks"][name]


def _listed(told: Told) -> dict[str, tuple[str, Any]]:
    return {each["id"]: (name, each) for name in ("new", "persisting", "resolved") for each in told["breaks"][name]}


def _flat(told: Told) -> dict[str, Any]:
    """Every figure by its dotted place, without what a revision is not about."""
    found: dict[str, Any] = {}

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                walk(part, f"{place}.{name}" if place else name)
        else:
            found[place] = value

    walk({name: part for name, part in told.items() if name not in ("revision", "replaces", "breaks")}, "")
    return {place: value for place, value in found.items() if not place.startswith("coverage.offsets.")}
