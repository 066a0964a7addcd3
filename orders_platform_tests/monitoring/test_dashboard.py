"""The committed dashboard: what its code makes, as Grafana's types have it, and as people should find it.

schemas/ has JSON Schemas of Grafana's own types, made offline from its package of types (@grafana/schema 13.2.3, whose
licence is beside them) by ts-json-schema-generator with `--no-type-check`: of dist/types/raw/dashboard/x/types.gen.d.ts
the type Dashboard, with `--additional-properties`; of dist/types/raw/composable/*/panelcfg/x/types.gen.d.ts the types
Options and FieldConfig.
"""

import json
import re
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from deploy.grafana import dashboard
from orders_platform_tests.monitoring.board import FILE, board, panel_queries, panels

SCHEMAS = Path(__file__).with_name("schemas")
PROVISIONING = FILE.parent / "provisioning"
COLUMNS = 24


def names(found: list[dict[str, Any]]) -> list[str]:
    return [each["title"] for each in found]


@cache
def validator(name: str) -> Draft7Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def errors(name: str, value: Any) -> list[str]:
    return [f"{list(each.absolute_path)}: {each.message[:200]}" for each in validator(name).iter_errors(value)]


def test_it_is_what_its_code_makes() -> None:
    assert FILE.read_text() == dashboard.text(), "run `python -m deploy.grafana.dashboard`"


def test_it_is_as_grafana_has_it() -> None:
    assert errors("dashboard", board()) == []


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_panel_is_as_its_kind_has_it(panel: dict[str, Any]) -> None:
    kind, custom = panel["type"], panel["fieldConfig"]["defaults"].get("custom")
    assert errors(f"{kind}.options", panel["options"]) == []
    if custom is not None:
        assert errors(f"{kind}.custom", custom) == []


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (["refresh"], 10),
        (["panels", 1, "gridPos", "w"], "wide"),
        (["panels", 1, "fieldConfig", "defaults", "thresholds", "mode"], "rough"),
        (["templating", "list", 0, "type"], "guess"),
        (["panels", 1, "targets"], "up"),
    ],
)
def test_what_grafana_would_not_have_is_found(where: list[Any], wrong: object) -> None:
    """The schema says no where it should: one that says yes to everything would prove nothing."""
    spoilt = board()
    here = spoilt
    for key in where[:-1]:
        here = here[key]
    assert where[-1] in here
    here[where[-1]] = wrong
    assert errors("dashboard", spoilt) != []


def test_it_is_imported_without_edits() -> None:
    """Grafana's import keeps the uid, and asks nothing where no data source is named but by the variable."""
    its = board()
    assert (its["uid"], its.get("id"), its.get("__inputs")) == (dashboard.UID, None, None)
    source = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*panels(), *(target for panel in panels() for target in panel["targets"])]
    asking += [each for each in its["templating"]["list"] if each["type"] == "query"]
    assert [each for each in asking if each["datasource"] != source] == []
    assert [(each["name"], each["type"]) for each in its["templating"]["list"]] == [
        ("datasource", "datasource"), ("instance", "query"), ("currency", "query")
    ]  # fmt: skip


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    found = panels()
    assert len(found) > 20
    assert [each["id"] for each in board()["panels"]] == list(range(1, len(board()["panels"]) + 1))
    assert len(set(names(found))) == len(found)
    for panel in found:
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_panels_lie_in_the_grid_and_not_upon_each_other() -> None:
    places = [(each["title"], each["gridPos"]) for each in board()["panels"]]
    for title, its in places:
        assert its["x"] >= 0, title
        assert its["x"] + its["w"] <= COLUMNS, title
    for (one, its), (other, theirs) in combinations(places, 2):
        beside = its["x"] + its["w"] <= theirs["x"] or theirs["x"] + theirs["w"] <= its["x"]
        apart = its["y"] + its["h"] <= theirs["y"] or theirs["y"] + theirs["h"] <= its["y"]
        assert beside or apart, (one, other)


def test_every_query_is_of_the_chosen_platform() -> None:
    for panel in panels():
        for target in panel["targets"]:
            metrics = re.findall(r"\borders_\w+", re.sub(r'"[^"]*"', "", target["expr"]))
            assert len(metrics) == target["expr"].count('instance=~"$instance"') or metrics == [], panel["title"]


def test_no_variable_is_left_in_what_is_asked_of_prometheus() -> None:
    assert [query for query in panel_queries() if "$" in query[1]] == []


def test_what_grafana_is_provisioned_with_leads_to_this_dashboard() -> None:
    """Grafana itself is in no package that tests could fetch, so nothing here has run in it."""
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "orders.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["access"]) == ("prometheus", "${PROMETHEUS_URL}", "proxy")
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "orders.yml").read_text())["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "${DASHBOARDS}")
