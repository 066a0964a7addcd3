"""The Grafana dashboard, made from code: `python -m deploy.grafana.dashboard` writes orders.json beside this file.

Its rows tell a story: is it working, how fast, the money, what breaks, and how the parts are. It asks for what /metrics
says and for nothing else, so that it works where no rules are loaded; amounts are in a currency's major unit.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphGradientMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FILE = Path(__file__).with_name("orders.json")
UID = "orders-platform"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

ONE = 'instance=~"$instance"'
MONEY = f'{ONE}, currency=~"$currency"'
MAJOR = f"on (currency) group_left () max by (currency) (orders_currency_minor_per_major{{{MONEY}}})"
WAITS = f"orders_matcher_message_wait_seconds_bucket{{{ONE}}}[$__rate_interval]"

GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
UP_OR_DOWN: list[models.ValueMapping] = [
    models.ValueMap(
        options={
            "0": models.ValueMappingResult(text="down", color=RED),
            "1": models.ValueMappingResult(text="up", color=GREEN),
        }
    )
]
Query = tuple[str, str]
"""An expression, and what its series are called."""
Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, bargauge.Panel, heatmap.Panel)


def told(panel: Panel, title: str, text: str, unit: str, width: int, height: int) -> Panel:
    """Return a panel with what each must have."""
    return panel.title(title).description(text).unit(unit).datasource(SOURCE).span(width).height(height)


def asked(query: Query, at: int = 0, *, instant: bool = False) -> Dataquery:
    """Return a query for a range of time, or for now alone."""
    made = Dataquery().datasource(SOURCE).expr(query[0]).legend_format(query[1] or "__auto").ref_id("ABCDEF"[at])
    return made.instant() if instant else made.range()


def steps(*bounds: tuple[float | None, str]) -> board.ThresholdsConfig:
    """Return colours from bounds on; the first has none."""
    return (
        board.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=bound, color=colour) for bound, colour in bounds])
    )


def number(
    title: str, text: str, unit: str, query: Query, *bounds: tuple[float, str], first: str = GREEN, width: int = 3
) -> stat.Panel:
    """Return one number of now, or one for each series, coloured by bounds."""
    return (
        told(stat.Panel(), title, text, unit, width, 4)
        .with_target(asked(query, instant=True))
        .thresholds(steps((None, first), *bounds))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def lines(
    title: str, text: str, unit: str, queries: Sequence[Query], width: int = 8, *, stacked: bool = False
) -> timeseries.Panel:
    """Return lines over time, from zero up."""
    panel = (
        told(timeseries.Panel(), title, text, unit, width, 8)
        .min(0)
        .line_width(1)
        .fill_opacity(40 if stacked else 10)
        .gradient_mode(GraphGradientMode.NONE if stacked else GraphGradientMode.OPACITY)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for at, query in enumerate(queries):
        panel = panel.with_target(asked(query, at))
    return panel


def bars(title: str, text: str, query: Query, width: int = 8) -> bargauge.Panel:
    """Return a bar for each series, as of now."""
    return (
        told(bargauge.Panel(), title, text, "locale", width, 8)
        .min(0)
        .with_target(asked(query, instant=True))
        .thresholds(steps((None, BLUE)))
        .display_mode(BarGaugeDisplayMode.BASIC)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def working() -> Iterator[stat.Panel]:
    """Yield the answer to: is it working?"""
    firing = f'count(ALERTS{{alertname=~"Orders.+", alertstate="firing", {ONE}}}) or vector(0)'
    yield number("Alerts", "Alerts of this platform that fire now.", "none", (firing, ""), (1, RED))
    for title, text, metric in (
        ("MongoDB", "Whether the store answered at the last look.", "orders_store_up"),
        ("Matcher", "Whether the stream runs and gave a sign of life in the last ten seconds.", "orders_matcher_up"),
    ):
        yield number(title, text, "bool_on_off", (f"{metric}{{{ONE}}}", "")).mappings(UP_OR_DOWN)
    behind = (f"orders_matcher_messages_behind{{{ONE}}}", "")
    yield number("Messages waiting", "In Kafka and not yet matched.", "locale", behind, (10_000, ORANGE), (1e6, RED))
    for title, text, metric, orange_s, red_s in (
        (
            "Last commit",
            "Since a batch was committed; nothing comes, nothing is committed.",
            "matcher_last_commit",
            0,
            0,
        ),
        ("Supervisor", "Since somebody looked whether the matcher lives.", "supervisor_last_look", 60, 120),
        ("Deadlines", "Up to how long ago deadlines are judged.", "matcher_deadlines_swept", 60, 300),
        (
            "Last closed day",
            "Since the end of the last day with a final statement.",
            "statement_last_day_end",
            3600 * 30,
            3600 * 31,
        ),
    ):
        bounds = [(orange_s, ORANGE), (red_s, RED)] if red_s else []
        since = (f"time() - orders_{metric}_timestamp_seconds{{{ONE}}}", "")
        yield number(title, text, "s", since, *bounds, first=GREEN if red_s else "text").decimals(0)


def fast() -> Iterator[timeseries.Panel | heatmap.Panel]:
    """Yield the answer to: how fast?"""
    read = (f"rate(orders_matcher_messages_total{{{ONE}}}[$__rate_interval])", "read")
    taken = (f"rate(orders_matcher_events_total{{{ONE}}}[$__rate_interval])", "accepted")
    yield lines("Messages", "Read from Kafka, and accepted as events.", "mps", [read, taken])
    quantiles = [
        (f"histogram_quantile({share}, sum by (le) (rate({WAITS})))", f"{share:.0%}") for share in (0.5, 0.95, 0.99)
    ]
    text = "How long messages waited, from the broker's receipt to the durable document: half of them, 95 and 99 %."
    yield lines("Wait", text, "s", quantiles)
    yield (
        told(heatmap.Panel(), "Waits", "How many messages waited how long.", "s", 8, 8)
        .with_target(asked((f"sum by (le) (increase({WAITS}))", "{{le}}")).format(PromQueryFormat.HEATMAP))
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
        .y_axis(heatmap.YAxisConfig().unit("s"))
    )
    waiting = (f"orders_matcher_messages_behind{{{ONE}}}", "waiting")
    yield lines("Backlog", "Messages in Kafka that are not matched.", "locale", [waiting])
    batch = (f"orders_matcher_last_batch_duration_seconds{{{ONE}}}", "last batch")
    yield lines("Batch", "Length of the last batch.", "s", [batch])
    became = (f"sum by (change) (rate(orders_matcher_documents_total{{{ONE}}}[$__rate_interval]))", "{{change}}")
    text = "Documents a second by what became of them; unchanged are those whose messages told nothing new."
    yield lines("Documents", text, "wps", [became], stacked=True)


def money() -> Iterator[stat.Panel | timeseries.Panel]:
    """Yield what orders come to, how much of it adds up, and how much is at risk."""
    for title, text, metric, which, colour in (
        ("Orders come to", "What is due in all stored orders.", "orders_due_minor", "", BLUE),
        ("Matched", "Due in orders that are paid as they should be.", "orders_due_minor", ', status="matched"', GREEN),
        ("At risk", "In orders that break, each counted once.", "orders_money_at_risk_minor", "", ORANGE),
    ):
        amount = f"sum by (currency) ({metric}{{{MONEY}{which}}}) / {MAJOR}"
        yield number(title, text, "locale", (amount, "{{currency}}"), first=colour, width=8)
    outcome = (f"sum by (outcome) (orders_stored{{{MONEY}}})", "{{outcome}}")
    yield lines(
        "Orders", "Stored orders: those that add up, that break, that wait.", "locale", [outcome], 12, stacked=True
    )
    share = f'sum(orders_stored{{{MONEY}, outcome="ok"}}) / sum(orders_stored{{{MONEY}}})'
    yield lines("Adds up", "Share of the stored orders that add up.", "percentunit", [(share, "adds up")], 12).max(1)
    due = f"sum by (currency, status) (orders_due_minor{{{MONEY}}}) / {MAJOR} > 0"
    text = "What is due by the orders' status, in the currency's major unit."
    yield each_currency(lines("Due, $currency", text, "locale", [(due, "{{status}}")], 24, stacked=True))


def breaks() -> Iterator[timeseries.Panel | bargauge.Panel]:
    """Yield what breaks, how much is at risk, and what was rejected."""
    at_risk = f"orders_at_risk_minor{{{MONEY}}} / {MAJOR} > 0"
    text = "Money at risk by kind of break, in the currency's major unit. An order of two kinds counts in both."
    yield each_currency(lines("At risk, $currency", text, "locale", [(at_risk, "{{kind}}")], 24))
    by_kind = (f"sort_desc(sum by (kind) (orders_breaks{{{MONEY}}}))", "{{kind}}")
    yield bars("Breaks", "Orders that break, by kind.", by_kind)
    by_reason = (f"sort_desc(sum by (reason) (orders_dead_letters{{{ONE}}}))", "{{reason}}")
    yield bars("Dead letters", "Rejected messages that are kept, by reason.", by_reason)
    letters, read = (
        f"rate(orders_matcher_{name}_total{{{ONE}}}[$__rate_interval])" for name in ("dead_letters", "messages")
    )
    share = (f"{letters} / {read}", "rejected")
    yield lines("Rejected", "Share of the messages that are rejected; a check warns above 5 %.", "percentunit", [share])


def health() -> Iterator[timeseries.Panel]:
    """Yield how the parts are."""
    age = (f"orders_matcher_heartbeat_age_seconds{{{ONE}}}", "age")
    yield lines(
        "Heartbeat", "Since the matcher's last sign of life; from ten seconds on it counts as down.", "s", [age]
    )
    restarts = (f"orders_matcher_restarts{{{ONE}}}", "restarts")
    yield lines("Restarts", "Starts of the matcher in the last 24 hours that nobody asked for.", "locale", [restarts])
    again = (f"rate(orders_matcher_conflicts_total{{{ONE}}}[$__rate_interval])", "again")
    text = "Merges that were done again, as another writer was faster: two matchers at once would show here."
    yield lines("Conflicts", text, "ops", [again])


def each_currency(panel: timeseries.Panel) -> timeseries.Panel:
    """Return a panel that Grafana draws once for each chosen currency: amounts of two share no axis."""
    return panel.repeat("currency").repeat_direction("h").max_per_row(3)


def variables() -> Iterator[board.DatasourceVariable | board.QueryVariable]:
    """Yield what people choose: where the numbers are, which platform, which currencies."""
    yield board.DatasourceVariable("datasource").label("Data source").type("prometheus")
    platforms = board.QueryVariable("instance").label("Platform").multi(False)
    yield _of_labels(platforms, "label_values(orders_store_up, instance)")
    currencies = board.QueryVariable("currency").label("Currency").multi(True).include_all(True).all_value(".+")
    everything = models.VariableOption(selected=True, text="All", value="$__all")
    of_platform = f"label_values(orders_currency_minor_per_major{{{ONE}}}, currency)"
    yield _of_labels(currencies, of_platform).current(everything)


def _of_labels(variable: board.QueryVariable, query: str) -> board.QueryVariable:
    return (
        variable.datasource(SOURCE)
        .query({"query": query, "refId": variable.build().name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def make() -> models.Dashboard:
    """Return the dashboard."""
    made = (
        board.Dashboard("Orders platform")
        .uid(UID)
        .description("Orders and payments as they are matched: is it working, how fast, the money, what breaks.")
        .tags(["orders-platform"])
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    for variable in variables():
        made = made.with_variable(variable)
    ids = count(1)
    for title, panels in (
        ("Is it working?", working()),
        ("How fast?", fast()),
        ("The money", money()),
        ("What breaks", breaks()),
        ("How the parts are", health()),
    ):
        made = made.with_row(board.Row(title).id(next(ids)))
        for panel in panels:
            made = made.with_panel(panel.id(next(ids)))
    return made.build()


def text() -> str:
    """Return the dashboard as orders.json has it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(make()) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
