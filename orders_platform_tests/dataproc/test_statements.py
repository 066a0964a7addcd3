"""Statements of very many orders on Dataproc: the workflow's job on a real Spark, from the bucket's artefact."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from google.cloud.dataproc_v1.types import AutoscalingPolicy, WorkflowTemplate

from orders_platform.deploy.package import Package
from orders_platform.errors import SettingsError, StackError
from orders_platform.local.stack import endpoints
from orders_platform.reports.making import Broker
from orders_platform.settings import Settings
from orders_platform.store import schema
from orders_platform.store.client import connect
from orders_platform.supervision.backends import request_files
from orders_platform.supervision.backends.dataproc_statements import policy_id, run, workflow_request
from orders_platform.supervision.backends.release import release
from orders_platform.supervision.statements import BY_SPARK, Told, make_statements
from orders_platform.surroundings import ROOT
from orders_platform_tests.dataproc import fake as fakes
from orders_platform_tests.dataproc.conftest import BUCKET
from orders_platform_tests.dataproc.fake import FakeDataproc
from orders_platform_tests.dataproc.runners import SparkRunner
from orders_platform_tests.dataproc.test_spark_life import upload
from orders_platform_tests.dataproc.workflows import FakeWorkflows
from orders_platform_tests.deploy.conftest import package  # noqa: F401 - a fixture
from orders_platform_tests.reports import shops
from orders_platform_tests.reports.test_making import MONDAY, stored
from orders_platform_tests.reports.test_parts import alone, days_from, same

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]
TUESDAY = date(2026, 1, 6)


@pytest.fixture
def workflows(
    package: Package,  # noqa: F811
    settings: Settings,
    database: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FakeWorkflows]:
    (tmp_path / "jobs").mkdir()
    upload(package, tmp_path / "objects")
    made = FakeWorkflows(SparkRunner(tmp_path / "jobs", tmp_path / "objects", lambda: address))
    fake = FakeDataproc(lambda job: pytest.fail("no job is submitted by itself"), set())
    fake.secrets[str(settings.mongo.uri_secret)] = database[0]
    with fakes.serving(fake, *made.handlers()) as address:
        monkeypatch.setenv("ORDERS_GOOGLE_ENDPOINT", address)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.spark
def test_a_workflow_makes_what_one_process_makes(
    workflows: FakeWorkflows, settings: Settings, database: tuple[str, str]
) -> None:
    its = settings.model_copy(update={"reports": settings.reports.model_copy(update={"spark_above_orders": 50})})
    where = endpoints(its)
    broker = Broker(where.bootstrap_servers, where.kafka_client, its.kafka.topics)
    store = connect(*database)
    try:
        schema.migrate(store)
        stored(store, shops.generated(120, 3))
        days = days_from(MONDAY, 3, "UTC")
        expected = alone(store, broker, days, its.matching.rules())
        made = make_statements(store, its, days, Told(lambda said: None, lambda counted, parts: None))
    finally:
        store.close()
    same(made, expected)
    assert [each.counted_anew for each in made] == [BY_SPARK] * 3
    (request,) = workflows.requests
    assert list(request.template.jobs[0].pyspark_job.args) == ["2026-01-05", "2026-01-07"]
    assert database[0] not in str(request), "no secret's value"
    assert workflows.clusters == ["orders-statements-0001"]


@pytest.mark.spark
def test_a_workflow_that_fails_is_a_sentence(workflows: FakeWorkflows, settings: Settings) -> None:
    with pytest.raises(StackError, match=r"failed on Dataproc: .*exited with 1\."):
        run(settings, TUESDAY, MONDAY, force=False)


def test_the_request_is_what_the_file_and_the_settings_say(settings: Settings) -> None:
    request = workflow_request(settings, release(BUCKET), MONDAY, TUESDAY, force=True)
    (job,) = request.template.jobs
    assert list(job.pyspark_job.args) == ["2026-01-05", "2026-01-06", "--force"]
    assert job.pyspark_job.main_python_file_uri == release(BUCKET).statements
    assert (job.scheduling.max_failures_per_hour, job.scheduling.max_failures_total) == (0, 0)
    properties = job.pyspark_job.properties
    assert properties["spark.submit.deployMode"] == "cluster"
    assert properties["spark.dynamicAllocation.enabled"] == "true"
    cluster = request.template.placement.managed_cluster
    assert cluster.config.autoscaling_config.policy_uri.endswith(f"/autoscalingPolicies/{policy_id(settings)}")
    assert cluster.config.gce_cluster_config.internal_ip_only
    assert not cluster.config.endpoint_config.enable_http_port_access


def test_the_time_zone_of_the_business_day_is_passed_on(settings: Settings) -> None:
    its = settings.model_copy(update={"reports": settings.reports.model_copy(update={"time_zone": "Asia/Tokyo"})})
    (job,) = workflow_request(its, release(BUCKET), MONDAY, MONDAY, force=False).template.jobs
    for where in ("spark.yarn.appMasterEnv", "spark.executorEnv"):
        assert job.pyspark_job.properties[f"{where}.ORDERS_REPORTS__TIME_ZONE"] == "Asia/Tokyo"


def test_without_a_project_it_is_said_what_to_set(settings: Settings) -> None:
    its = settings.model_copy(update={"dataproc": settings.dataproc.model_copy(update={"project": None})})
    with pytest.raises(SettingsError, match="where is not set"):
        run(its, MONDAY, MONDAY, force=False)


@pytest.mark.parametrize(
    ("name", "kind"), [("autoscaling-policy.yaml", AutoscalingPolicy), ("statements.yaml", WorkflowTemplate)]
)
def test_the_files_are_messages_of_the_api_to_the_last_field(name: str, kind: type) -> None:
    values: dict[str, str] = dict.fromkeys(("project", "region", "name", "subnetwork", "bucket", "policy"), "a-name")
    given = request_files.filled(f"dataproc/{name}", values)
    request_files.message(kind, given, name)
    given["labels_"] = {"app": "x"}
    with pytest.raises(SettingsError, match="labels_"):
        request_files.message(kind, given, name)


def test_every_file_of_dataproc_is_looked_at() -> None:
    assert {path.name for path in (ROOT / "deploy" / "dataproc").iterdir()} == {
        "autoscaling-policy.yaml",
        "cluster.yaml",
        "roles.yaml",
        "statements.yaml",
    }
