"""The page's breaks: counts by kind and age with the value at risk, the largest, and for the screen a long list."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from orders_platform.reports.markup import Cell, Row, command, number, paragraph, table, two_ways
from orders_platform.reports.money import money, short
from orders_platform.reports.page_bridges import DRAWN, by_size
from orders_platform.reports.statement import Break, Statement
from orders_platform.reports.words import AGES, age_of, at_risk_by_currency, figure

LARGEST = 12
LISTED_MAX = 2_000  # on the screen: a page of some hundred KB opens at once
ID_CHARACTERS = 21
"""How much of an order's id fits into a line of the sheet."""
CSV = "orders export --collection breaks --format csv"
_HEATS = 4


def ranked(s: Statement) -> list[Break]:
    """Return the open breaks, the largest of each currency in turn, as amounts of different currencies don't compare;
    those without an amount come last."""
    by_currency: dict[str, list[Break]] = {currency: [] for currency in by_size(s)}
    for each in sorted((*s.breaks.new, *s.breaks.persisting), key=lambda one: (-one.at_risk_minor, one.id)):
        by_currency.setdefault(each.currency or "", []).append(each)
    places = [(rank, each) for listed in by_currency.values() for rank, each in enumerate(listed)]
    places.sort(key=lambda pair: (pair[1].at_risk_minor <= 0, pair[0]))  # stable: currencies stay in their order
    return [each for _, each in places]


def matrix(s: Statement) -> str:
    """Return the open breaks by kind and age, and what each kind puts at risk in the currencies that are drawn."""
    there = [*s.breaks.new, *s.breaks.persisting]
    if not there:
        return paragraph("None is open.")
    by_kind: dict[str, list[Break]] = {}
    for each in there:
        by_kind.setdefault(each.kind, []).append(each)
    new = {each.id for each in s.breaks.new}
    total = at_risk_by_currency(there)
    currencies = [currency for currency in by_size(s)[:DRAWN] if total[currency]]
    most = {currency: max(at_risk_by_currency(its)[currency] for its in by_kind.values()) for currency in currencies}
    most_counted = max(Counter((each.kind, age_of(each.age_days)) for each in there).values())
    has_others = len(total) > len(currencies)
    rows = [
        Row(_figures(kind, its, new, most, most_counted, has_others=has_others))
        for kind, its in sorted(by_kind.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]
    rows.append(Row(_figures("all", there, new, dict.fromkeys(currencies, 0), 0, has_others=has_others), "sum"))
    heads = (
        Cell("kind"),
        *map(number, (*AGES, "all", "new")),
        *map(number, currencies),
        *([number("others")] * has_others),
    )
    amounts = len(currencies) + has_others
    groups = [("", 1), ("breaks by age in days", len(AGES) + 2), *([("value at risk", amounts)] if amounts else [])]
    return table("Open breaks by kind and age, and the value at risk", heads, rows, "matrix", groups)


def largest(s: Statement) -> str:
    """Return the largest open breaks, as many as a sheet has room for, and where the others are."""
    there = [each for each in ranked(s) if each.at_risk_minor > 0][:LARGEST]
    rest = len(s.breaks.new) + len(s.breaks.persisting) - len(there)
    listed = _listed("Largest open breaks", there, _own) if there else paragraph("None puts an amount at risk.")
    return listed + (command(f"{rest:,} more are in the CSV:", CSV) if rest else "")


def listing(s: Statement) -> str:
    """Return every break for the screen, folded up, up to a bound."""
    lists = (("open", ranked(s)), ("resolved", s.breaks.resolved))
    return "".join(
        f'<details class="screen"><summary>{_how_many(word, len(its))}</summary>'
        f"{_listed(f'Breaks, {word}', its[:LISTED_MAX], _own_and_foreign)}</details>"
        for word, its in lists
        if its
    )


def _how_many(word: str, count: int) -> str:
    bound = f"; the first {LISTED_MAX:,} are here, the rest in the CSV" if count > LISTED_MAX else ""
    return f"{count:,} breaks {word}{bound}"


def _listed(caption: str, its: Sequence[Break], amount: Callable[[Break], str]) -> str:
    heads = (Cell("order", "id"), Cell("kind"), number("days"), number("at risk"))
    rows = [
        Row(
            (
                two_ways(each.order_id, _brief(each.order_id), "id"),
                Cell(each.kind),
                number(str(each.age_days)),
                number(amount(each)),
            )
        )
        for each in its
    ]
    return table(caption, heads, rows, "breaks")


def _brief(order_id: str) -> str:
    if len(order_id) <= ID_CHARACTERS:
        return order_id
    half = (ID_CHARACTERS - 1) // 2
    return f"{order_id[:half]}…{order_id[-half:]}"


def _own(each: Break) -> str:
    return money(each.at_risk_minor, each.currency, code=True) if each.at_risk_minor else "-"


def _own_and_foreign(each: Break) -> str:
    foreign = [money(amount_minor, currency, code=True) for currency, amount_minor in each.foreign_minor.items()]
    return "; ".join([_own(each), *foreign])


def _figures(
    name: str,
    its: Sequence[Break],
    new: set[str],
    most: Mapping[str, int],
    most_counted: int,
    *,
    has_others: bool,
) -> list[Cell]:
    """Return a row: its name, counts by age, all, new, and amounts by currency; the more of `most`, the warmer."""
    ages = Counter(age_of(each.age_days) for each in its)
    amounts = at_risk_by_currency(its)
    others = len(amounts.keys() - most.keys())
    return [
        Cell(name),
        *(number(figure(ages[age]), _heat(ages[age], most_counted)) for age in AGES),
        number(figure(len(its)), "all"),
        number(figure(sum(each.id in new for each in its))),
        *(number(short(amounts[currency], currency), _heat(amounts[currency], of)) for currency, of in most.items()),
        *([number(f"in {others}" if others else "-")] * has_others),
    ]


def _heat(value: int, most: int) -> str:
    """Return the class of a cell's warmth: from 1, little, to 4, the most; nothing has none."""
    return f"h{1 + (_HEATS * value - 1) // most}" if value > 0 and most > 0 else ""
