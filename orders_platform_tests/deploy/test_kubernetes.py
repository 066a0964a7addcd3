"""`orders deploy kubernetes` against an API server of this process, through Kubernetes' own client."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orders_platform.cli.main import cli
from orders_platform.deploy import kubernetes
from orders_platform.deploy.cluster_api import path_of
from orders_platform_tests.deploy.kube import Kube, serving

SECRETS = "/api/v1/namespaces/orders/secrets/"
MATCHER = "/apis/apps/v1/namespaces/orders/deployments/orders-matcher"


def deploy(*options: str, expect: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["deploy", "kubernetes", *options])
    assert done.exit_code == expect, done.output
    return done


def controllers(kube: Kube, path: str) -> None:
    """Let Deployments come up, and Dagster's sensor start the matcher."""
    if "/deployments/" in path:
        its = kube.objects[path]
        its["spec"].setdefault("replicas", 1)
        if path == MATCHER:
            its["spec"]["replicas"] = 1
            its["spec"]["template"]["metadata"]["annotations"] = {kubernetes.EPOCH: "7"}
        its["status"] = {"availableReplicas": its["spec"]["replicas"]}


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    made = Kube(after=controllers)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with serving(made, tmp_path / "kubeconfig"):
        yield made


@pytest.fixture
def with_secrets(kube: Kube) -> Kube:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "orders"}}
    kube.objects["/api/v1/namespaces/orders"] = namespace
    for name in kubernetes.SECRETS:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"x": "Y2FuYXJ5"}}
        kube.objects[SECRETS + name] = secret
    return kube


def test_a_dry_run_shows_every_object_and_changes_nothing(with_secrets: Kube) -> None:
    plan = json.loads(deploy("--overlay", "local", "--dry-run", "--json").stdout)
    assert plan["ready"] is True
    made = [step["what"] for step in plan["steps"] if step["state"] == "missing"]
    assert {"Deployment orders-matcher", "Deployment orders-dagster", "Role orders-supervisor"} <= set(made)
    assert "kind" in deploy("--overlay", "local", "--dry-run").stdout
    assert not with_secrets.applied


def test_what_was_planned_is_done_and_the_second_time_nothing(with_secrets: Kube) -> None:
    said = deploy("--overlay", "local").stderr
    assert "The matcher works, epoch 7" in said
    wanted = {path_of(each) for each in kubernetes.rendered(kubernetes.OVERLAYS / "local")}
    assert wanted <= set(with_secrets.applied)
    with_secrets.applied.clear()
    assert "Everything was as wanted" in deploy("--overlay", "local").stderr
    assert not with_secrets.applied
    # Supervision's, not ours.
    assert with_secrets.objects[MATCHER]["spec"]["replicas"] == 1


def test_what_somebody_changed_is_set_right_without_ending_the_matcher(with_secrets: Kube) -> None:
    deploy("--overlay", "local")
    with_secrets.applied.clear()
    its = with_secrets.objects[MATCHER]["spec"]
    its["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    with_secrets.after = None
    plan = json.loads(deploy("--overlay", "local", "--dry-run", "--json").stdout)
    assert [step["what"] for step in plan["steps"] if step["state"] == "differs"] == ["Deployment orders-matcher"]
    deploy("--overlay", "local")
    assert with_secrets.applied == [MATCHER]
    its = with_secrets.objects[MATCHER]["spec"]
    assert (its["template"]["spec"]["terminationGracePeriodSeconds"], its["replicas"]) == (90, 1)


def test_secrets_are_looked_for_and_never_read_or_made(kube: Kube) -> None:
    plan = json.loads(deploy("--overlay", "local", "--dry-run", "--json", expect=1).stdout)
    needs = [step["needs"] for step in plan["steps"] if step["needs"]]
    assert len(needs) == len(kubernetes.SECRETS)
    assert all("kubectl create namespace orders && kubectl -n orders create secret generic" in each for each in needs)
    deploy("--overlay", "local", expect=1)
    assert not kube.applied


def test_no_value_of_a_secret_is_asked_for(with_secrets: Kube) -> None:
    shown = deploy("--overlay", "local", "--dry-run")
    assert "Y2FuYXJ5" not in shown.output


@pytest.mark.parametrize("overlay", ["gcp", "aws"])
def test_an_overlay_that_is_not_filled_in_is_told(kube: Kube, overlay: str) -> None:
    said = " ".join(deploy("--overlay", overlay, "--dry-run", expect=1).stderr.split())
    assert "REGION" in said
    assert "sha256:" in said
    assert not kube.applied


def test_an_overlay_of_ones_own(with_secrets: Kube, tmp_path: Path) -> None:
    shutil.copytree(kubernetes.OVERLAYS.parent, tmp_path / "kubernetes")
    mine = tmp_path / "kubernetes" / "overlays" / "gcp"
    text = (mine / "kustomization.yaml").read_text().replace("0" * 64, "1" * 64)
    for name in ("PROJECT", "REGION", "BUCKET"):
        text = text.replace(name, "shop")
    (mine / "kustomization.yaml").write_text(text)
    plan = json.loads(deploy("--overlay", str(mine), "--dry-run", "--json").stdout)
    assert plan["ready"] is True


def test_one_that_is_none_is_told(kube: Kube, tmp_path: Path) -> None:
    assert "can't be rendered" in deploy("--overlay", str(tmp_path / "none"), expect=1).stderr


@pytest.mark.parametrize(("code", "words"), [(403, "ask for the right"), (409, "somebody else"), (422, "refused")])
def test_a_refusal_is_a_sentence(with_secrets: Kube, code: int, words: str) -> None:
    with_secrets.refuse = ("PATCH", code)
    said = " ".join(deploy("--overlay", "local", expect=1).stderr.split())
    assert words in said
    assert "Traceback" not in said


def test_a_rollout_that_does_not_come_is_told(with_secrets: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    with_secrets.after = None
    monkeypatch.setattr(kubernetes, "ROLLOUT_TIMEOUT_S", 0.0)
    said = " ".join(deploy("--overlay", "local", expect=1).stderr.split())
    assert "orders-dagster" in said
    assert "did not come up" in said
