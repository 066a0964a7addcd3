"""The manifests, as kubectl renders them: valid to the letter, and by our own rules of what may run."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from orders_platform.live.guard import OPEN
from orders_platform.settings import Settings
from orders_platform.supervision.backends.kubernetes_pods import CONTAINER
from orders_platform.supervision.backends.pod_driver import command
from orders_platform.surroundings import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KUBERNETES = "1.33"
USER = 10001


@cache
def rendered(overlay: str) -> str:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER / "overlays" / overlay], capture_output=True, text=True, check=True
    )
    return done.stdout


def objects(overlay: str, *kinds: str) -> list[dict[str, Any]]:
    found = [each for each in yaml.safe_load_all(io.StringIO(rendered(overlay))) if each]
    return [each for each in found if not kinds or each["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> dict[str, Any]:
    """Return one object; kustomize puts a hash behind the names of ConfigMaps."""
    hashed = "-[a-z0-9]{10}" if kind == "ConfigMap" else ""
    (found,) = [each for each in objects(overlay, kind) if re.fullmatch(name + hashed, each["metadata"]["name"])]
    return found


def pods(overlay: str) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Yield every pod that may run: name, labels and spec; the executors' template among them."""
    for each in objects(overlay, "Deployment"):
        template = each["spec"]["template"]
        yield each["metadata"]["name"], template["metadata"]["labels"], template["spec"]
    executor = yaml.safe_load(named(overlay, "ConfigMap", "orders-spark")["data"]["executor.yaml"])
    yield "executor", executor["metadata"]["labels"], executor["spec"]


def defaults(overlay: str) -> dict[str, str]:
    text = named(overlay, "ConfigMap", "orders-spark")["data"]["spark-defaults.conf"]
    return dict(line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid_to_the_letter(overlay: str) -> None:
    for each in objects(overlay):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    executor = yaml.safe_load(named(overlay, "ConfigMap", "orders-spark")["data"]["executor.yaml"])
    kubernetes_validate.validate(executor, KUBERNETES, strict=True)


def test_a_misspelt_field_would_be_noticed() -> None:
    deployment = named(OVERLAYS[0], "Deployment", "orders-matcher")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 90
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_runs_as_root_or_writes_its_root(overlay: str) -> None:
    for name, _, spec in pods(overlay):
        its = spec["securityContext"]
        assert (its["runAsNonRoot"], its["runAsUser"], its["runAsGroup"]) == (True, USER, USER), name
        assert its["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not any("hostPath" in volume for volume in spec["volumes"]), name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert {"/tmp", "/var/lib/orders"} <= written, name
            # The image's entry point reaps what a container leaves behind: arguments only.
            assert "command" not in container, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_container_says_what_it_needs_and_whether_it_lives(overlay: str) -> None:
    for each in objects(overlay, "Deployment"):
        for container in each["spec"]["template"]["spec"]["containers"]:
            needs = container["resources"]
            assert {"cpu", "memory"} <= needs["requests"].keys()
            assert "memory" in needs["limits"]
            assert {"livenessProbe", "readinessProbe"} <= container.keys()
            image = container["image"]
            assert not image.endswith(":latest")
            assert "@sha256:" in image or re.search(r":[0-9.]+$", image), image


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_token_of_the_api_server_is_only_where_it_is_used(overlay: str) -> None:
    with_token = {name for name, _, spec in pods(overlay) if spec["automountServiceAccountToken"]}
    assert with_token == {"orders-matcher", "orders-code-location"}
    assert not any(each["automountServiceAccountToken"] for each in objects(overlay, "ServiceAccount"))
    accounts = {each["metadata"]["name"] for each in objects(overlay, "ServiceAccount")}
    used = {spec["serviceAccountName"] for name, _, spec in pods(overlay) if name != "executor"}
    assert used | {defaults(overlay)["spark.kubernetes.authenticate.executor.serviceAccountName"]} == accounts


def test_the_supervisor_may_do_what_its_code_does_and_no_more() -> None:
    rules = named(OVERLAYS[0], "Role", "orders-supervisor")["rules"]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    source = (ROOT / "orders_platform" / "supervision" / "backends" / "kubernetes_client.py").read_text()
    verbs = {"read": "get", "patch": "patch", "delete": "delete", "list": "list"}
    called = set(re.findall(r"\.(read|patch|delete|list)_namespaced_(deployment|pod)\b", source))
    # A list is watched as well.
    assert allowed == {(f"{kind}s", verbs[verb]) for verb, kind in called} | {("pods", "watch")}
    (deployments,) = [rule for rule in rules if rule["resources"] == ["deployments"]]
    assert deployments["resourceNames"] == ["orders-matcher"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_select_what_runs(overlay: str) -> None:
    labels = [labels for _, labels, _ in pods(overlay)]

    def matches(selector: dict[str, Any]) -> bool:
        wanted = selector.get("matchLabels", {}).items()
        terms = selector.get("matchExpressions", [])
        return any(
            wanted <= its.items() and all(its.get(term["key"]) in term["values"] for term in terms) for its in labels
        )

    for each in objects(overlay, "PodDisruptionBudget", "Deployment"):
        assert matches(each["spec"]["selector"]), each["metadata"]["name"]
    for each in objects(overlay, "Service"):
        assert matches({"matchLabels": each["spec"]["selector"]}), each["metadata"]["name"]
    for each in objects(overlay, "NetworkPolicy"):
        assert matches(each["spec"]["podSelector"]) or not each["spec"]["podSelector"], each["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_port_that_listens_may_be_reached_by_whom_it_is_for(overlay: str) -> None:
    opened = {
        port["port"]
        for each in objects(overlay, "NetworkPolicy")
        for rule in each["spec"].get("ingress", [])
        for port in rule["ports"]
    }
    its = defaults(overlay)
    assert {int(its[f"spark.{name}.port"]) for name in ("driver", "driver.blockManager", "blockManager")} <= opened
    assert 4000 in opened
    live = named(overlay, "Deployment", "orders-live")["spec"]["template"]["spec"]["containers"][0]
    assert live["args"][-1] == "8090"
    assert 8090 in opened
    # The UI has no accounts of its own: nobody of the cluster reaches it, but who may forward a port.
    assert 3000 not in opened
    assert any(not each["spec"]["podSelector"] for each in objects(overlay, "NetworkPolicy"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_settings_are_settings_and_hold_no_secret(overlay: str) -> None:
    environment = named(overlay, "ConfigMap", "orders-settings")["data"]
    settings = Settings.load({}, environment | {"ORDERS_HOME": "/var/lib/orders"})
    assert settings.matcher.backend == "kubernetes"
    assert settings.kubernetes.namespace == "orders"
    assert settings.kafka.bootstrap_servers
    assert settings.mongo.is_given()
    assert settings.mongo.uri is None
    assert settings.kafka.password is None
    assert settings.checkpoint() is not None
    assert settings.matcher.buckets >= (1 if settings.matcher.master.startswith("local") else 4)
    assert not objects(overlay, "Secret")
    for name, _, spec in pods(overlay):
        mounts = {mount["mountPath"] for container in spec["containers"] for mount in container["volumeMounts"]}
        if name in ("orders-matcher", "executor", "orders-code-location", "orders-live"):
            assert str(settings.mongo.uri_file and settings.mongo.uri_file.parent) in mounts, name
        checkpoint = settings.checkpoint() or ""
        if checkpoint.startswith("file:") and (name == "orders-matcher" or settings.matcher.master.startswith("k8s")):
            assert name not in ("orders-matcher", "executor") or "/var/lib/checkpoint" in mounts, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_matcher_is_the_deployment_that_supervision_looks_for(overlay: str) -> None:
    environment = named(overlay, "ConfigMap", "orders-settings")["data"]
    settings = Settings.load({}, environment | {"ORDERS_HOME": "/var/lib/orders"})
    deployment = named(overlay, "Deployment", settings.kubernetes.deployment)
    assert deployment["spec"]["replicas"] == 0
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == CONTAINER
    assert container["args"] == ["orders", "matcher", "driver"]
    given = {each["name"]: each.get("value", "x") for each in container["env"]}
    # A variable of ours with a plain value would be taken for one of supervision's.
    assert not any(name.startswith("ORDERS_") for name in given)
    assert given["POD_IMAGE"] == container["image"]
    built = command(settings, given | {"ORDERS_MATCHER_EPOCH": "1"})
    assert settings.matcher.master in built


def test_the_live_page_listens_to_its_pod_and_tells_others_the_metrics_alone() -> None:
    (container,) = named(OVERLAYS[0], "Deployment", "orders-live")["spec"]["template"]["spec"]["containers"]
    assert container["args"][:3] == ["python", "-m", "orders_platform.live"]
    given = {each["name"]: each["value"] for each in container["env"]}
    environment = named(OVERLAYS[0], "ConfigMap", "orders-settings")["data"] | given
    assert Settings.load({}, environment | {"ORDERS_HOME": "/var/lib/orders"}).live.host == "0.0.0.0"
    assert {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")} <= OPEN


def test_overlays_share_what_tells_executors_their_image() -> None:
    texts = {(FOLDER / "overlays" / overlay / "executors-image.yaml").read_text() for overlay in OVERLAYS}
    assert len(texts) == 1


def test_dagsters_instance_is_the_one_for_servers() -> None:
    given = (ROOT / "deploy" / "dagster" / "dagster.yaml").read_text()
    assert (FOLDER / "base" / "dagster.yaml").read_text() == given
