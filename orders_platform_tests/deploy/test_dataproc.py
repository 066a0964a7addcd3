"""`orders deploy dataproc` against Google's APIs on this machine, through Google's own clients."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml
from click.testing import CliRunner, Result
from google.cloud.dataproc_v1.types import Cluster

from orders_platform.cli.main import cli
from orders_platform.deploy import dataproc, package
from orders_platform.deploy.package import Package
from orders_platform.errors import SettingsError
from orders_platform.supervision.backends import request_files
from orders_platform.supervision.backends.release import release
from orders_platform.surroundings import ROOT
from orders_platform_tests.dataproc import fake as fakes
from orders_platform_tests.dataproc.clusters import FakeClusters
from orders_platform_tests.dataproc.fake import FakeDataproc
from orders_platform_tests.dataproc.storage import FakeStorage, storing
from orders_platform_tests.dataproc.workflows import FakePolicies

BUCKET = "gs://a-bucket/orders"
VALUES = {
    "project": "a-project",
    "region": "europe-west1",
    "name": "orders",
    "cluster": "orders-matcher",
    "subnetwork": "default",
    "bucket": "a-bucket",
    "workers": "2",
}


@dataclass
class Google:
    clusters: FakeClusters
    policies: FakePolicies
    storage: FakeStorage

    def deploy(self, *options: str, expect: int = 0) -> Result:
        done = CliRunner().invoke(cli, ["deploy", "dataproc", "--no-up", *options])
        assert done.exit_code == expect, done.output
        return done


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    made = Google(FakeClusters(), FakePolicies(), FakeStorage({"a-bucket": {}}))
    jobs = FakeDataproc(lambda job: pytest.fail("no job is submitted here"), set())
    given = {
        "HOME": str(tmp_path / "home"),
        "MATCHER__BACKEND": "dataproc",
        "DATAPROC__PROJECT": "a-project",
        "DATAPROC__REGION": "europe-west1",
        "DATAPROC__BUCKET": BUCKET,
        "KAFKA__BOOTSTRAP_SERVERS": "kafka.example:9092",
        "MONGO__URI_SECRET": "projects/a-project/secrets/mongo-uri/versions/1",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ORDERS_{name}", value)
    with (
        fakes.serving(jobs, *made.clusters.handlers(), *made.policies.handlers()) as address,
        storing(made.storage) as storage,
    ):
        monkeypatch.setenv("ORDERS_GOOGLE_ENDPOINT", address)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage)
        yield made


@pytest.fixture
def packed(package: Package, monkeypatch: pytest.MonkeyPatch) -> Package:
    """The package of the commit under test, made once: how it is made has tests of its own."""
    monkeypatch.setattr(dataproc.package, "build", lambda *given, **options: package)
    return package


def test_a_dry_run_prints_every_request_and_changes_nothing(google: Google, packed: Package) -> None:
    shown = google.deploy("--dry-run").stdout
    assert not google.storage.uploads
    assert not google.clusters.created
    assert '"cluster_name": "orders-matcher"' in shown
    plan = json.loads(google.deploy("--dry-run", "--json").stdout)
    assert plan["ready"] is True
    assert [step["state"] for step in plan["steps"]] == ["as wanted", *["missing"] * (len(plan["steps"]) - 1)]
    assert not google.storage.uploads
    cluster = plan["steps"][-1]["request"]["cluster"]
    # What is printed is a message of the API, to the last field.
    request_files.message(Cluster, cluster, "the plan")


def test_what_was_planned_is_done_once(google: Google, packed: Package) -> None:
    said = google.deploy().stderr
    assert "steps were done" in said
    its = release(BUCKET)
    wanted = {
        uri.removeprefix("gs://a-bucket/") for uri in (its.main, its.statements, its.wheel, its.dependencies, *its.jars)
    }
    assert google.storage.buckets["a-bucket"].keys() == wanted
    assert google.storage.buckets["a-bucket"][its.wheel.removeprefix("gs://a-bucket/")] == packed.wheel.read_bytes()
    assert len(google.clusters.created) == 1
    (policy,) = google.policies.policies
    assert policy == "projects/a-project/regions/europe-west1/autoscalingPolicies/orders-statements"
    uploads = list(google.storage.uploads)
    assert "Everything was as wanted" in google.deploy().stderr
    assert google.storage.uploads == uploads
    assert (len(google.clusters.created), google.clusters.updated, google.policies.written) == (1, [], 1)


def test_a_policy_that_was_changed_by_hand_is_put_right(google: Google, packed: Package) -> None:
    google.deploy()
    (policy,) = google.policies.policies.values()
    policy.secondary_worker_config.max_instances = 99
    shown = google.deploy("--dry-run", expect=0).stdout
    assert "update its secondary_worker_config.max_instances" in " ".join(shown.split())
    google.deploy()
    (policy,) = google.policies.policies.values()
    assert policy.secondary_worker_config.max_instances == 30


def test_one_that_was_interrupted_goes_on(google: Google, packed: Package) -> None:
    google.clusters.fails = "Quota 'CPUS' exceeded."
    assert "CPUS" in google.deploy(expect=1).stderr
    uploads = list(google.storage.uploads)
    google.clusters.fails = None
    google.deploy()
    assert google.storage.uploads == uploads
    assert "orders-matcher" in google.clusters.clusters


def test_more_executors_update_the_cluster_in_place(
    google: Google, packed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.deploy()
    monkeypatch.setenv("ORDERS_DATAPROC__EXECUTORS", "5")
    google.deploy()
    (update,) = google.clusters.updated
    assert list(update.update_mask.paths) == ["config.worker_config.num_instances"]
    assert google.clusters.clusters["orders-matcher"].config.worker_config.num_instances == 5


def test_what_a_running_cluster_can_not_become_is_told(google: Google, packed: Package) -> None:
    google.deploy()
    google.clusters.clusters["orders-matcher"].config.software_config.image_version = "2.2.1-debian12"
    said = google.deploy(expect=1).stderr
    assert "config.software_config.image_version" in " ".join(said.split())
    assert not google.clusters.updated


def test_a_bucket_that_is_missing_is_for_an_administrator(google: Google, packed: Package) -> None:
    google.storage.buckets.clear()
    plan = json.loads(google.deploy("--dry-run", "--json", expect=1).stdout)
    assert "gcloud storage buckets create gs://a-bucket" in plan["steps"][0]["needs"]
    assert not google.clusters.created


def test_an_object_that_holds_something_else_is_not_written_over(google: Google, packed: Package) -> None:
    google.deploy()
    wheel = release(BUCKET).wheel.removeprefix("gs://a-bucket/")
    google.storage.buckets["a-bucket"][wheel] = b"somebody else's"
    assert "holds something else" in google.deploy(expect=1).stderr
    assert google.storage.buckets["a-bucket"][wheel] == b"somebody else's"


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE])
def test_a_refusal_is_a_sentence(google: Google, packed: Package, code: grpc.StatusCode) -> None:
    google.clusters.refuse = code
    said = google.deploy(expect=1).stderr
    assert "Traceback" not in said
    assert "Dataproc" in said


def test_a_storage_that_refuses_says_what_to_grant(google: Google, packed: Package) -> None:
    google.storage.refuse = 403
    assert "Storage Object User" in google.deploy(expect=1).stderr


def test_settings_that_are_missing_are_named_before_anything_is_made(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERS_MONGO__URI_SECRET")
    monkeypatch.setattr(package, "build", lambda *given, **options: pytest.fail("nothing is packed"))
    assert "mongo.uri_secret" in google.deploy(expect=2).stderr


def test_the_cluster_file_is_a_message_of_the_api() -> None:
    made = request_files.message(Cluster, request_files.filled("dataproc/cluster.yaml", VALUES), "cluster.yaml")
    assert made.config.software_config.image_version.startswith("3.0.")
    # The streaming cluster is fixed.
    assert not made.config.autoscaling_config.policy_uri
    assert made.config.gce_cluster_config.internal_ip_only


def test_a_field_that_the_api_does_not_have_is_refused() -> None:
    given = request_files.filled("dataproc/cluster.yaml", VALUES)
    given["config"]["worker_config"]["num_instance"] = 3
    with pytest.raises(SettingsError, match="num_instance"):
        request_files.message(Cluster, given, "cluster.yaml")
    with pytest.raises(SettingsError, match="region"):
        request_files.filled("dataproc/cluster.yaml", {"project": "p"})


def test_every_account_of_the_roles_is_one_of_the_deployment() -> None:
    roles = yaml.safe_load((ROOT / "deploy" / "dataproc" / "roles.yaml").read_text())
    cluster = request_files.message(Cluster, request_files.filled("dataproc/cluster.yaml", VALUES), "cluster.yaml")
    assert cluster.config.gce_cluster_config.service_account.split("@")[0] in roles["accounts"]
    for account in roles["accounts"].values():
        assert account["is"]
        assert not {"roles/owner", "roles/editor"} & set(account["project"])
