"""The supervisor and the Kubernetes backend at work: real client, processes as containers, real lease and topics."""

import os
import signal
from collections.abc import Callable

import pytest

from orders_platform.store import matcher_records as records
from orders_platform.supervision.rounds import read_report
from orders_platform.supervision.status import gather
from orders_platform_tests.kubernetes.conftest import Cluster, KubernetesPlatform

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
PATIENT_S = 90.0


def ends(platform: KubernetesPlatform) -> list[tuple[int, str | None]]:
    return [(start.epoch, start.end) for start in records.read_starts(platform.store)]


def committed(platform: KubernetesPlatform, after_epoch: int = 0) -> None:
    platform.until(lambda: platform.committed(after_epoch), PATIENT_S)


def test_a_killed_container_is_the_end_of_its_epoch_whatever_kubernetes_makes_of_it(
    platform: KubernetesPlatform, cluster: Cluster
) -> None:
    platform.supervise()
    committed(platform)
    assert cluster.deployment()["spec"]["template"]["metadata"]["annotations"]["kept"] == "yes"
    cluster.nodes.kill(cluster.pod(), "OOMKilled")
    committed(platform, 1)
    assert ends(platform) == [(1, "died"), (2, None)]
    assert cluster.nodes.most_at_once == 1
    assert platform.backend.describe()["last end"].startswith("epoch 1: OOMKilled, exit code 137")


def test_an_evicted_pod_is_replaced_by_the_next_epoch(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    cluster.nodes.evict(cluster.pod(), "The node was low on resource: memory.")
    committed(platform, 1)
    assert ends(platform) == [(1, "died"), (2, None)]
    assert "Evicted" in platform.backend.describe()["last end"]


def test_a_second_life_of_an_epoch_refuses_itself(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    platform.leave()
    first = cluster.pod()
    cluster.nodes.kill(first, "Error")
    platform.until(lambda: [process.returncode for process in cluster.nodes.processes if process.poll()].count(3))
    assert platform.backend.find() is None
    assert not platform.committed(), "what Kubernetes started again did no work"
    platform.supervise()
    committed(platform, 1)
    assert cluster.nodes.most_at_once == 1


def test_two_pods_of_one_epoch_are_one_matcher(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    running = platform.backend.find()
    cluster.scale(2)
    platform.until(lambda: 3 in [process.poll() for process in cluster.nodes.processes])
    platform.until(lambda: platform.backend.find() == running)
    assert "wants 2 pods" in platform.backend.describe()["trouble"]
    platform.publish()
    platform.until(lambda: platform.committed() and platform.backend.find() == running)
    assert ends(platform) == [(1, None)]


def test_a_crash_loop_is_ours_and_ends_at_the_breaker(platform: KubernetesPlatform, cluster: Cluster) -> None:
    cluster.mode("die")
    platform.supervise()
    platform.until(
        lambda: (report := read_report(platform.settings.home)) is not None and report.state == "failed", PATIENT_S
    )
    assert len(ends(platform)) == 5
    platform.until(lambda: not cluster.nodes.pods())
    assert cluster.deployment()["spec"]["replicas"] == 0, "Kubernetes does not go on where supervision gave up"


def test_a_stop_drains_and_stays_and_a_start_goes_on(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    records.set_desired(platform.store, state="stopped")
    platform.until(lambda: ends(platform) == [(1, "asked")], PATIENT_S)
    platform.until(lambda: not cluster.nodes.pods() and not cluster.nodes.living())
    assert cluster.nodes.processes[0].returncode == 0, "it ended by itself"
    records.set_desired(platform.store, state="running")
    committed(platform, 1)


def test_a_stop_that_is_not_heeded_is_cut_short(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    os.kill(cluster.nodes.process_of(cluster.pod()).pid, signal.SIGSTOP)
    records.set_desired(platform.store, state="stopped")
    platform.until(lambda: ends(platform) == [(1, "asked")], PATIENT_S)
    platform.until(lambda: not cluster.nodes.living())


def test_a_pod_on_a_lost_node_is_replaced_and_what_it_does_there_is_fenced(
    platform: KubernetesPlatform, cluster: Cluster
) -> None:
    platform.supervise()
    committed(platform)
    lost = cluster.nodes.process_of(cluster.pod())
    os.kill(lost.pid, signal.SIGSTOP)
    cluster.nodes.cut_off = True
    platform.publish()
    # Another node takes the next pod: this one only hears of it when the first has been deleted by force.
    platform.until(lambda: any(run == "2" for run in _epochs(cluster)), PATIENT_S)
    cluster.nodes._lives.clear()
    cluster.nodes.cut_off = False
    committed(platform, 1)
    os.kill(lost.pid, signal.SIGCONT)
    platform.until(lambda: lost.poll() == 3, PATIENT_S)
    assert ends(platform) == [(1, "stalled"), (2, None)]


def test_nothing_is_started_or_ended_while_the_api_server_is_away(
    platform: KubernetesPlatform, cluster: Cluster
) -> None:
    platform.supervise()
    committed(platform)
    running = platform.backend.find()
    cluster.api.away = True
    cluster.api.drop_watches()
    platform.until(lambda: any("API server can't be reached" in line for line in platform.said), PATIENT_S)
    cluster.nodes.kill(cluster.pod(), "Error")
    platform.until(lambda: 3 in [process.poll() for process in cluster.nodes.processes], PATIENT_S)
    assert ends(platform) == [(1, None)]
    assert platform.thread is not None
    assert platform.thread.is_alive()
    cluster.api.away = False
    committed(platform, 1)
    assert platform.backend.find() != running


def test_of_two_supervisors_one_starts_and_both_see_it(
    make_platform: Callable[[str], KubernetesPlatform], cluster: Cluster
) -> None:
    one, two = make_platform("one"), make_platform("two")
    one.supervise()
    two.supervise()
    committed(one)
    committed(two)
    assert one.backend.find() == two.backend.find()
    cluster.nodes.kill(cluster.pod(), "Error")
    committed(one, 1)
    committed(two, 1)
    assert cluster.nodes.most_at_once == 1
    alive = [end for _, end in ends(one)]
    assert alive.count(None) == 1


def test_a_person_who_scales_is_seen(platform: KubernetesPlatform, cluster: Cluster) -> None:
    platform.supervise()
    committed(platform)
    cluster.scale(0)
    committed(platform, 1)
    assert ends(platform) == [(1, "died"), (2, None)]


def test_what_keeps_a_pod_from_starting_is_told(platform: KubernetesPlatform, cluster: Cluster) -> None:
    cluster.nodes.waits = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "orders:1"'}
    platform.supervise()
    platform.until(lambda: "ImagePullBackOff" in platform.backend.describe().get("trouble", ""), PATIENT_S)
    assert platform.backend.find() is not None, "it may come yet"
    assert "ImagePullBackOff" in gather(platform.settings).components[-1].detail
    cluster.nodes.waits = None
    committed(platform)
    assert "trouble" not in platform.backend.describe()


def _epochs(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["annotations"].get("orders-platform/epoch", "") for pod in cluster.nodes.pods()]
