"""The Dataproc backend, call by call, through Google's own client."""

import json
import time

import grpc
import pytest
from google.cloud.dataproc_v1.types import SubmitJobRequest

from orders_platform import secrets
from orders_platform.errors import OrdersError, SettingsError, StackError
from orders_platform.settings import Settings
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.supervision.backends import dataproc
from orders_platform.supervision.backends.choose import make_backend
from orders_platform.supervision.backends.dataproc_job import submit_request
from orders_platform.supervision.backends.driver_environment import settings_variables
from orders_platform.supervision.backends.release import release
from orders_platform_tests.dataproc.conftest import BUCKET, CLUSTER, Cloud

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataproc, "LOOK_EVERY_S", 0.0)


def test_the_request_twice_is_one_job(cloud: Cloud) -> None:
    backend = cloud.backend()
    first, second = backend.submit(4, 2), cloud.backend().submit(4, 2)
    assert first == second == backend.find()
    assert (first.id, first.told, first.epoch, first.attempt, first.pid) == ("orders-4-2", "job orders-4-2", 4, 2, None)
    assert list(cloud.dataproc.jobs) == ["orders-4-2"]


def test_a_job_of_that_name_by_another_request_is_that_job(cloud: Cloud) -> None:
    cloud.backend().submit(4, 2)
    cloud.dataproc.requests.clear()
    assert cloud.backend().submit(4, 2).id == "orders-4-2"
    assert len(cloud.dataproc.jobs) == 1


def test_an_answer_that_is_lost_is_looked_for(cloud: Cloud) -> None:
    cloud.dataproc.lose_answers = True
    assert cloud.backend().submit(1, 1).id == "orders-1-1"


def test_a_request_that_was_lost_is_an_error(cloud: Cloud) -> None:
    cloud.dataproc.refuse["SubmitJob"] = grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(OrdersError, match="NotFound"):
        cloud.backend().submit(1, 1)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota"),
        (grpc.StatusCode.PERMISSION_DENIED, "role Dataproc Editor"),
        (grpc.StatusCode.UNAVAILABLE, "can't be reached"),
    ],
)
def test_refusals_say_what_to_do(cloud: Cloud, code: grpc.StatusCode, words: str) -> None:
    cloud.dataproc.refuse["SubmitJob"] = code
    with pytest.raises(OrdersError) as raised:
        cloud.backend().submit(1, 1)
    assert words in f"{raised.value.what} {raised.value.fix}"


def test_a_cluster_that_is_not_there_is_named(cloud: Cloud) -> None:
    cloud.dataproc.clusters.clear()
    with pytest.raises(StackError, match=f"no cluster {CLUSTER}"):
        cloud.backend().submit(1, 1)


def test_what_is_being_cancelled_is_not_dead_and_the_newest_is_found(cloud: Cloud) -> None:
    backend = cloud.backend()
    cloud.dataproc.pending_s = 600.0
    backend.submit(9, 1)
    backend.submit(10, 1)
    found = backend.find()
    assert found is not None
    assert found.epoch == 10
    cloud.dataproc.deaf = True
    backend.stop(found, drain=False)
    assert [cloud.dataproc.states("orders-10-1")[-1], backend.find().id] == ["CANCELLED", "orders-9-1"]  # type: ignore[union-attr]
    backend.stop(found, drain=True)  # what is over already


def test_jobs_of_others_are_not_ours(cloud: Cloud) -> None:
    cloud.backend().submit(1, 1)
    other = cloud.settings.model_copy(
        update={"dataproc": cloud.settings.dataproc.model_copy(update={"name": "elsewhere"})}
    )
    assert dataproc.DataprocBackend(other).find() is None


def test_people_are_told_where_its_output_is(cloud: Cloud) -> None:
    backend = cloud.backend()
    assert backend.describe()["cluster"] == CLUSTER
    backend.submit(3, 1)
    cloud.until(lambda: backend.describe()["state"] == "RUNNING")
    told = backend.describe()
    assert (told["job"], told["log"]) == ("orders-3-1", "gs://staging/jobs/orders-3-1/driveroutput")


def test_a_look_is_kept_for_seconds(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataproc, "LOOK_EVERY_S", 3600.0)
    watching, other = cloud.backend(), cloud.backend()
    assert watching.find() is None
    handle = other.submit(1, 1)
    assert watching.find() is None
    assert other.find() == handle  # who submits looks anew
    other.stop(handle, drain=False)
    assert other.find() is None


def test_the_request_holds_all_that_a_driver_needs_and_no_secret(cloud: Cloud, database: tuple[str, str]) -> None:
    kept = BegunCheckpoint(base=None, location=None, offsets={"orders": {"0": 5}})
    cloud.backend().submit(7, 3, kept)
    (request,) = cloud.dataproc.submitted
    text = json.dumps(SubmitJobRequest.to_dict(request))
    assert database[0] not in text
    job = request.job.pyspark_job
    environment = {
        name.removeprefix("spark.yarn.appMasterEnv."): value
        for name, value in job.properties.items()
        if name.startswith("spark.yarn.appMasterEnv.")
    }
    assert environment["ORDERS_MATCHER_EPOCH"] == "7"
    assert environment["ORDERS_MATCHER_RUN"] == "7-3"
    assert json.loads(environment["ORDERS_MATCHER_START_OFFSETS"]) == {"orders": {"0": 5}}
    assert environment["ORDERS_MONGO__URI_SECRET"] == cloud.settings.mongo.uri_secret
    driver = Settings.load(
        {"home": "x"}, {name: value for name, value in environment.items() if "MATCHER_" not in name}
    )
    assert driver.kafka.topics == cloud.settings.kafka.topics
    for name, value in environment.items():
        assert job.properties[f"spark.executorEnv.{name}"] == value
    # One retry loop, the supervisor's.
    assert request.job.scheduling.max_failures_per_hour == 0
    assert job.properties["spark.yarn.maxAppAttempts"] == "1"
    its = release(BUCKET)
    assert (job.main_python_file_uri, list(job.python_file_uris)) == (its.main, [its.wheel])
    assert list(job.archive_uris) == [f"{its.dependencies}#dependencies"]
    assert len(job.jar_file_uris) == 4
    assert len(request.request_id) <= 40


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("mongo.uri", "mongodb://u:canary@h/", "mongo.uri_secret"),
        ("kafka.password", "canary", "kafka.password_secret"),
        ("kafka.client", {"ssl.key.pem": "canary"}, "kafka.password_secret"),
    ],
)
def test_a_secret_by_its_value_goes_nowhere(cloud: Cloud, key: str, value: object, fix: str) -> None:
    group, name = key.split(".")
    settings = Settings.load({"home": "x", group: {name: value}, "dataproc": {"bucket": BUCKET, "project": "p"}}, {})
    with pytest.raises(SettingsError) as raised:
        settings_variables(settings, None)
    assert fix in raised.value.fix
    assert "canary" not in str(raised.value)
    with pytest.raises(SettingsError):
        submit_request(settings, release(BUCKET), 1, 1, None)


def test_services_of_the_home_are_no_services_for_dataproc(tmp_path: object) -> None:
    settings = Settings.load({"home": str(tmp_path), "matcher": {"backend": "dataproc"}}, {})
    with pytest.raises(SettingsError, match="can't reach"):
        make_backend(settings, None)  # type: ignore[arg-type]


def test_where_is_asked_for(cloud: Cloud) -> None:
    nowhere = cloud.settings.model_copy(update={"dataproc": Settings.load({"home": "x"}, {}).dataproc})
    with pytest.raises(SettingsError, match=r"dataproc\.bucket"):
        dataproc.DataprocBackend(nowhere)


def test_a_secret_is_read_once_and_its_lack_is_told(cloud: Cloud, database: tuple[str, str]) -> None:
    name = str(cloud.settings.mongo.uri_secret)
    assert secrets.secret(name) == database[0]
    cloud.dataproc.secrets.clear()
    assert cloud.settings.mongo.given_uri() == database[0]
    with pytest.raises(SettingsError, match="no enabled secrets/other/versions/1"):
        secrets.secret("projects/p/secrets/other/versions/1")
    cloud.dataproc.refuse["AccessSecretVersion"] = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(SettingsError) as refused:
        secrets.secret("projects/p/secrets/other/versions/2")
    assert "Secret Accessor" in refused.value.fix
    begun_s = time.monotonic()
    cloud.dataproc.refuse["AccessSecretVersion"] = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(OrdersError, match="did not give"):
        secrets.secret("projects/p/secrets/other/versions/3")
    assert time.monotonic() - begun_s < 60
