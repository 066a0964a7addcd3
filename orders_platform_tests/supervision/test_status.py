"""`orders status` of a matcher that can't be seen from here: its word in MongoDB tells."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect
from orders_platform.streams.topics import ensure_topics
from orders_platform.supervision.backends.kubernetes import KubernetesBackend
from orders_platform.supervision.status import Component, gather
from orders_platform_tests import matcher_words

pytestmark = pytest.mark.services
THERE = "there:/home"


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    uri, servers = settings.mongo.given_uri(), settings.kafka.bootstrap_servers
    assert uri is not None
    assert servers is not None
    ensure_topics(servers, {}, settings.kafka.topics, 1)
    with closing(connect(uri, settings.mongo.database)) as made:
        yield made


@pytest.fixture
def without_a_cluster(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a pod that has no token for the API server."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    matcher = settings.matcher.model_copy(update={"backend": "kubernetes"})
    return settings.model_copy(update={"matcher": matcher})


def starts(store: Store) -> None:
    """Leave what a driver elsewhere leaves that works."""
    epoch = records.take_epoch(store, THERE, 60, 0)
    records.add_start(store, records.Start(epoch=epoch, attempt=1, at_ms=0, reason="a test", holder=THERE))
    matcher_words.begins(store, epoch)


def matcher(settings: Settings) -> Component:
    return gather(settings).components[-1]


def test_one_under_a_supervisor_elsewhere_is_as_its_lease_and_heartbeat_say(settings: Settings, store: Store) -> None:
    starts(store)
    records.note_look(store, THERE)
    status = gather(settings)
    assert {each.name: each.state for each in status.components}["supervisor"] == "running"
    assert (status.matcher.state, status.healthy()) == ("running", True)
    records.write_heartbeat(store, 1, "starting")
    assert matcher(settings).state == "starting"
    records.release_lease(store, 1, THERE)
    told = matcher(settings)
    assert told.state == "starting"
    assert "where its supervisor runs" in told.detail
    records.set_desired(store, state="stopped")
    assert matcher(settings).state == "stopped"


def test_one_that_nobody_supervises_is_not_taken_at_its_word(settings: Settings, store: Store) -> None:
    starts(store)
    assert (matcher(settings).state, "nobody supervises it" in matcher(settings).detail) == ("failed", True)


def test_where_its_place_can_not_be_asked_its_word_is_what_there_is(
    without_a_cluster: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go: list[KubernetesBackend] = []

    def disconnect(its: KubernetesBackend) -> None:
        let_go.append(its)

    monkeypatch.setattr(KubernetesBackend, "disconnect", disconnect)
    assert (told := matcher(without_a_cluster)).state == "failed"
    assert "No Kubernetes cluster is known here" in told.detail
    assert len(let_go) == 1
    starts(store)
    assert matcher(without_a_cluster).state == "running"
    records.note_look(store, THERE)
    assert gather(without_a_cluster).healthy()
