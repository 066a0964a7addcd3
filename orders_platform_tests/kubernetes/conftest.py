"""A cluster on this machine with the matcher's Deployment, and homes whose supervisors speak to it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orders_platform.local.stack import endpoints
from orders_platform.settings import Settings
from orders_platform.store.client import connect
from orders_platform.supervision.backends.kubernetes import KubernetesBackend
from orders_platform.supervision.decide import Policy
from orders_platform.supervision.supervise import Supervisor
from orders_platform.surroundings import ROOT
from orders_platform_tests.kubernetes.api_server import ApiServer, Object
from orders_platform_tests.kubernetes.nodes import Nodes
from orders_platform_tests.supervision.conftest import SMALL_DRIVER, Platform, settings

__all__ = ["settings"]
NAMESPACE, NAME = "shop", "orders-matcher"
QUICK = Policy(first_pause_ms=500, stall_after_ms=6_000, grace_ms=30_000, drain_ms=8_000, worth_something_s=20.0)


@dataclass
class Cluster:
    """The API server and the node behind it."""

    api: ApiServer
    nodes: Nodes
    home: Path
    """The pods' home; its `mode` says how their driver behaves."""

    def mode(self, mode: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "mode").write_text(mode)

    def deployment(self) -> Object:
        return self.api.storage.get("deployments", NAME)

    def scale(self, replicas: int) -> None:
        """Do what `kubectl scale` does."""
        self.api.storage.change("deployments", NAME, lambda found: found["spec"].update(replicas=replicas))

    def pod(self) -> Object:
        """Return the one pod that is not being ended."""
        (pod,) = [pod for pod in self.nodes.pods() if "deletionTimestamp" not in pod["metadata"]]
        return pod


class KubernetesPlatform(Platform):
    """One supervisor's home, whose matcher is in the cluster."""

    backend: KubernetesBackend  # type: ignore[assignment]

    def supervise(self) -> None:
        self.ended = threading.Event()
        supervisor = Supervisor(self.settings, self.said.append, self.policy)
        self.thread = threading.Thread(target=supervisor.run, args=(self.ended,), daemon=True)
        self.thread.start()


def deployment() -> Object:
    """Return what the manifests make, as far as the backend sees it."""
    container = {
        "name": "matcher",
        "image": "orders:1",
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "TZ", "value": "UTC"},
        ],
    }
    labels = {"app.kubernetes.io/name": "orders-platform", "app.kubernetes.io/component": "matcher"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(labels)},
        "spec": {
            "replicas": 0,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels), "annotations": {"kept": "yes"}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
            },
        },
        "status": {},
    }


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """An API server that knows the matcher's Deployment, and the kubeconfig that leads to it."""
    made = ApiServer(NAMESPACE)
    made.storage.put("deployments", deployment())
    config = tmp_path / "kubeconfig"
    config.write_text(made.kubeconfig())
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    yield made
    made.close()


@pytest.fixture
def on_kubernetes(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of a home whose matcher is in the cluster."""
    uri_file = tmp_path / "mongo-uri"
    uri_file.write_text(settings.mongo.given_uri() or "")
    return Settings.load(
        {
            "home": str(settings.home),
            "mongo": {"uri_file": str(uri_file), "database": settings.mongo.database},
            "kafka": settings.kafka.model_dump(exclude_defaults=True),
            "matcher": {"backend": "kubernetes", "checkpoint": str(tmp_path / "pods" / "checkpoint")},
            "kubernetes": {"namespace": NAMESPACE},
        },
        {},
        tmp_path,
    )  # fmt: skip


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose pods run the small driver."""
    home = tmp_path / "pods"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ORDERS_HOME": str(home)}
    nodes = Nodes(api.storage, [sys.executable, str(SMALL_DRIVER)], environment, tmp_path / "pods.log")
    made = Cluster(api, nodes, home)
    made.mode("work")
    yield made
    nodes.close()


@pytest.fixture
def make_platform(cluster: Cluster, on_kubernetes: Settings) -> Iterator[Callable[[str], KubernetesPlatform]]:
    """Make homes that supervise one matcher in the cluster."""
    made: list[KubernetesPlatform] = []

    def make(name: str) -> KubernetesPlatform:
        home = on_kubernetes.model_copy(update={"home": on_kubernetes.home / name})
        where = endpoints(home)
        store = connect(where.mongo_uri, home.mongo.database)
        backend = KubernetesBackend(home)
        made.append(KubernetesPlatform(home, store, backend, where.bootstrap_servers, QUICK))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.leave()
        each.backend.close()
        each.store.close()


@pytest.fixture
def platform(make_platform: Callable[[str], KubernetesPlatform]) -> KubernetesPlatform:
    """One home; its supervisor is not yet started."""
    return make_platform("one")


def eventually(what: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return once `what` is true."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
