"""The backend's requests one by one: conflicts, refusals, time-outs, the watch and what pods say."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from orders_platform.errors import Deposed, OrdersError, ServiceUnavailable, SettingsError
from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends import kubernetes_look
from orders_platform.supervision.backends.kubernetes import KubernetesBackend
from orders_platform.supervision.checkpoints import give_up
from orders_platform_tests.kubernetes.api_server import ApiServer, Object, Refused
from orders_platform_tests.kubernetes.conftest import NAME, NAMESPACE, eventually

Change = Callable[[Object], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that name services elsewhere; nobody asks them here."""
    uri = tmp_path / "uri"
    uri.write_text("mongodb://name:secret@db.example/")
    return Settings.load(
        {
            "mongo": {"uri_file": str(uri)},
            "kafka": {"bootstrap_servers": "kafka.example:9092"},
            "matcher": {"backend": "kubernetes", "checkpoint": "gs://bucket/checkpoint"},
            "kubernetes": {"namespace": NAMESPACE},
        },
        {"ORDERS_HOME": str(tmp_path / "home")},
        tmp_path,
    )


@pytest.fixture
def backend(api: ApiServer, settings: Settings) -> KubernetesBackend:
    return KubernetesBackend(settings)


def variables(api: ApiServer) -> dict[str, str]:
    container = api.storage.get("deployments", NAME)["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "by reference") for each in container["env"]}


def pod(api: ApiServer, epoch: int = 1, name: str = "one", **status: object) -> None:
    """Make a pod of an epoch, as the Deployment's controller would."""
    made = api.storage.get("deployments", NAME)
    metadata = made["spec"]["template"]["metadata"]
    metadata["name"] = name
    metadata["annotations"] |= {"orders-platform/epoch": str(epoch), "orders-platform/attempt": "1"}
    api.storage.put("pods", {"metadata": metadata, "spec": made["spec"]["template"]["spec"], "status": status})


def container(state: Object, restarts: int = 0, last: Object | None = None) -> list[Object]:
    return [
        {
            "name": "matcher", "image": "i", "imageID": "", "ready": False, "restartCount": restarts,
            "state": state, "lastState": last or {},
        }
    ]  # fmt: skip


def test_an_epoch_is_one_patch_that_leaves_the_manifests_alone(backend: KubernetesBackend, api: ApiServer) -> None:
    begun = BegunCheckpoint(
        base="gs://bucket/checkpoint", location="gs://bucket/checkpoint.2", offsets={"orders": {"0": 5}}
    )
    handle = backend.submit(7, 2, begun)
    assert (handle.epoch, handle.attempt) == (7, 2)
    found = api.storage.get("deployments", NAME)
    assert found["spec"]["replicas"] == 1
    assert found["spec"]["template"]["metadata"]["annotations"] == {
        "kept": "yes", "orders-platform/epoch": "7", "orders-platform/attempt": "2"
    }  # fmt: skip
    told = variables(api)
    assert told["POD_NAME"] == "by reference"
    assert told["TZ"] == "UTC"
    assert told["ORDERS_MATCHER_EPOCH"] == "7"
    assert told["ORDERS_MATCHER_RUN"] == "7-2"
    assert told["ORDERS_MATCHER__CHECKPOINT"] == "gs://bucket/checkpoint.2"
    assert told["ORDERS_MATCHER_START_OFFSETS"] == '{"orders":{"0":5}}'
    assert not any("secret" in text for text in told.values())
    assert api.count("patch", "deployments") == 1
    backend.submit(8, 1)
    assert "ORDERS_MATCHER_START_OFFSETS" not in variables(api), "what an earlier epoch was told is taken away"


def test_a_patch_that_somebody_overtook_is_decided_anew(backend: KubernetesBackend, api: ApiServer) -> None:
    def person() -> Refused | None:
        api.storage.change("deployments", NAME, lambda found: found["metadata"]["labels"].update(by="a person"))
        return Refused(409, "Conflict", "the object has been modified")

    api.answers.append(("patch", person))
    backend.submit(3, 1)
    assert api.storage.get("deployments", NAME)["metadata"]["labels"]["by"] == "a person"
    assert variables(api)["ORDERS_MATCHER_EPOCH"] == "3"


def test_a_later_epoch_is_not_overwritten(backend: KubernetesBackend, api: ApiServer) -> None:
    backend.submit(9, 1)
    with pytest.raises(Deposed):
        backend.submit(8, 1)
    assert variables(api)["ORDERS_MATCHER_EPOCH"] == "9"


def test_others_who_keep_changing_it_are_given_up_on(backend: KubernetesBackend, api: ApiServer) -> None:
    api.answers.extend([("patch", lambda: Refused(409, "Conflict", "modified"))] * 20)
    with pytest.raises(OrdersError, match="changed the Deployment"):
        backend.submit(3, 1)
    assert api.count("patch", "deployments") == 5


def test_a_patch_whose_answer_was_lost_is_not_made_twice(backend: KubernetesBackend, api: ApiServer) -> None:
    api.answers.append(("patch", lambda: None))
    backend.submit(3, 1)
    assert variables(api)["ORDERS_MATCHER_EPOCH"] == "3"
    assert api.count("patch", "deployments") == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_api_server_in_trouble_is_asked_again_and_then_told_of(
    backend: KubernetesBackend, api: ApiServer, code: int
) -> None:
    api.answers.append(("get", lambda: Refused(code, "Trouble", "try later")))
    with pytest.raises(ServiceUnavailable, match=f"answered {code}"):
        backend.find()
    assert backend.find() is None


def test_what_is_refused_or_missing_is_named(api: ApiServer, settings: Settings) -> None:
    for verb, resource, ask in (
        ("get", "deployments", KubernetesBackend.find),
        ("list", "pods", KubernetesBackend.find),
        ("patch", "deployments", lambda backend: backend.submit(1, 1)),
    ):
        api.forbidden = {(verb, resource)}
        with pytest.raises(OrdersError, match=f"Grant the verb {verb} on {resource}"):
            ask(KubernetesBackend(settings))
    api.forbidden = set()
    api.token = "another"
    with pytest.raises(OrdersError, match="does not know who asks"):
        KubernetesBackend(settings).find()
    api.token = "a-token-of-the-tests"
    elsewhere = settings.kubernetes.model_copy(update={"namespace": "elsewhere"})
    with pytest.raises(OrdersError, match="no Deployment orders-matcher in the namespace elsewhere"):
        KubernetesBackend(settings.model_copy(update={"kubernetes": elsewhere})).find()
    api.storage.remove("deployments", NAME)
    with pytest.raises(OrdersError, match="orders deploy kubernetes"):
        KubernetesBackend(settings).find()


def test_without_a_cluster_or_a_place_for_the_checkpoint_it_says_so(
    api: ApiServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher = settings.matcher.model_copy(update={"checkpoint": None})
    with pytest.raises(SettingsError, match="would be gone with its pod"):
        KubernetesBackend(settings.model_copy(update={"matcher": matcher})).submit(1, 1)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(OrdersError, match="No Kubernetes cluster is known here"):
        KubernetesBackend(settings).find()
    assert "No Kubernetes cluster" in KubernetesBackend(settings).describe()["trouble"]


def test_a_watch_brings_the_next_look_forward_and_looks_are_few(
    backend: KubernetesBackend, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_look, "LOOK_MAX_AGE_S", 3600.0)
    backend.submit(1, 1)
    pod(api, phase="Running", containerStatuses=container(RUNNING))
    for lost in (None, api.drop_watches, api.storage.compact):
        if lost is not None:
            lost()
        eventually(lambda: backend.find() is not None and api.watches > 0)
        looks = api.count("list", "pods")
        for _ in range(20):
            backend.find()
        assert api.count("list", "pods") <= looks + 2, "what did not change is not asked for again"
        api.storage.change("pods", "one", lambda it: it["status"].update(containerStatuses=container(OOM)))
        eventually(lambda: backend.find() is None)
        api.storage.change("pods", "one", lambda it: it["status"].update(containerStatuses=container(RUNNING)))
        eventually(lambda: backend.find() is not None)
    backend.close()


def test_who_looks_once_for_people_leaves_no_watch_and_no_connection(settings: Settings, api: ApiServer) -> None:
    backend = KubernetesBackend(settings)
    backend.find()
    backend.describe()
    assert api.watches == 0
    port = urlsplit(yaml.safe_load(api.kubeconfig())["clusters"][0]["cluster"]["server"]).port

    def connections() -> int:
        of_ours = psutil.Process().net_connections()
        return sum(bool(its.raddr) and its.raddr.port == port and its.status == "ESTABLISHED" for its in of_ours)

    assert connections() > 0
    backend.disconnect()
    eventually(lambda: connections() == 0)


def test_without_a_watch_nothing_is_believed_for_long(
    backend: KubernetesBackend, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_look, "LOOK_MAX_AGE_S", 0.5)
    api.forbidden = {("watch", "pods")}
    backend.submit(1, 1)
    eventually(lambda: (found := backend.find()) is not None and "no pod yet" in found.told)
    pod(api, phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    eventually(lambda: backend.find() is None)
    backend.close()


RUNNING = {"running": {}}
NO_SECRET = {"reason": "CreateContainerConfigError", "message": 'secret "mongo" not found'}
FAILED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "why"}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
NO_NODE = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}


@pytest.mark.parametrize(
    ("status", "alive", "told"),
    [
        ({"phase": "Pending"}, True, None),
        ({"phase": "Pending", "conditions": [NO_NODE]}, True, "No node takes it: 0/3 nodes fit."),
        (
            {"phase": "Pending", "containerStatuses": container({"waiting": NO_SECRET})},
            True,
            'It can\'t start: CreateContainerConfigError: secret "mongo" not found.',
        ),
        ({"phase": "Running", "containerStatuses": container(RUNNING)}, True, None),
        ({"phase": "Running", "containerStatuses": container(FAILED)}, False, "Error, exit code 1: why."),
        ({"phase": "Running", "containerStatuses": container(RUNNING, 1, OOM)}, False, "OOMKilled, exit code 137."),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, False, "Evicted: low on memory."),
    ],
)
def test_what_a_pod_is_and_what_is_told_of_it(
    backend: KubernetesBackend, api: ApiServer, status: Object, alive: bool, told: str | None
) -> None:
    backend.submit(1, 1)
    pod(api, **status)
    assert (backend.find() is not None) == alive
    assert backend.describe().get("trouble") == told


def test_a_quota_and_a_node_that_goes_are_told(backend: KubernetesBackend, api: ApiServer) -> None:
    backend.submit(1, 1)
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    api.storage.change("deployments", NAME, lambda found: found["status"].update(conditions=[failed]))
    assert backend.find() is not None, "it may come yet"
    assert backend.describe()["trouble"] == "No pod can be made: exceeded quota."
    going = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "no response"}
    pod(api, phase="Running", conditions=[going], containerStatuses=container(RUNNING))
    api.storage.change("pods", "one", lambda it: it["metadata"].update(deletionTimestamp="2026-01-05T10:00:00Z"))
    eventually(lambda: "DeletionByTaintManager: no response" in backend.describe()["trouble"])
    assert backend.find() is not None, "its process may still write"


def test_a_checkpoint_on_a_volume_is_given_up_by_name(settings: Settings) -> None:
    matcher = settings.matcher.model_copy(update={"checkpoint": "/volume/checkpoint"})
    there = settings.model_copy(update={"matcher": matcher})
    assert give_up(there, None) == ("/volume/checkpoint", "/volume/checkpoint.2")
