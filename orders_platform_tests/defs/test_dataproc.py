"""The Dataproc resource on a real gRPC server of this process that speaks JobController's protocol."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import grpc
import pytest
from google.api_core.exceptions import NotFound
from google.cloud.dataproc_v1.types import (
    CancelJobRequest,
    GetJobRequest,
    Job,
    JobStatus,
    ListJobsRequest,
    ListJobsResponse,
    SubmitJobRequest,
)

from orders_platform.defs.dataproc import DataprocResource
from orders_platform.errors import OrdersError, ServiceUnavailable, SettingsError
from orders_platform.supervision.backends.dataproc_clients import Dataproc

PROJECT, REGION = "a-project", "europe-west1"
PLACE = {"project_id": PROJECT, "region": REGION}


@dataclass
class Controller:
    """Jobs in memory, as Dataproc answers for them: a request id is done once."""

    jobs: dict[str, Job] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    hang: threading.Event | None = None
    refuse: grpc.StatusCode | None = None

    def submit(self, request: SubmitJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("submit", context)
        name = self.by_request.setdefault(request.request_id, request.job.reference.job_id)
        if name not in self.jobs:
            job = Job(request.job)
            job.status = JobStatus(state=JobStatus.State.RUNNING)
            self.jobs[name] = job
        return self.jobs[name]

    def get(self, request: GetJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("get", context)
        if request.job_id not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {request.job_id}.")
        return self.jobs[request.job_id]

    def list(self, request: ListJobsRequest, context: grpc.ServicerContext) -> ListJobsResponse:
        self._called("list", context)
        label, _, value = request.filter.removeprefix("labels.").partition(" = ")
        return ListJobsResponse(jobs=[job for job in self.jobs.values() if job.labels.get(label) == value])

    def cancel(self, request: CancelJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("cancel", context)
        self.jobs[request.job_id].status = JobStatus(state=JobStatus.State.CANCEL_PENDING)
        return self.jobs[request.job_id]

    def _called(self, name: str, context: grpc.ServicerContext) -> None:
        self.calls.append(name)
        if self.hang is not None:
            self.hang.wait(60)
        if self.refuse is not None:
            context.abort(self.refuse, "the account lacks dataproc.jobs.create")


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
def endpoint(controller: Controller) -> Iterator[str]:
    def unary(method: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(method, request.deserialize, response.serialize)

    handlers = {
        "SubmitJob": unary(controller.submit, SubmitJobRequest, Job),
        "GetJob": unary(controller.get, GetJobRequest, Job),
        "ListJobs": unary(controller.list, ListJobsRequest, ListJobsResponse),
        "CancelJob": unary(controller.cancel, CancelJobRequest, Job),
    }
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("google.cloud.dataproc.v1.JobController", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            if controller.hang is not None:
                controller.hang.set()
            server.stop(None).wait()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path))


def job(name: str, app: str = "orders") -> Job:
    return Job({"reference": {"job_id": name}, "placement": {"cluster_name": "c"}, "labels": {"app": app}})


def test_an_asset_submits_finds_and_cancels_a_job(home: None, endpoint: str, controller: Controller) -> None:
    @dg.asset
    def backfilled(dataproc: DataprocResource) -> dg.MaterializeResult:
        service = dataproc.service()
        assert (service.project, service.region) == (PROJECT, REGION)
        with service.jobs() as jobs:
            for _ in range(2):  # a request that is made again is the same request
                jobs.submit_job(request={**PLACE, "job": job("backfill-1"), "request_id": "epoch-1"})
            jobs.submit_job(request={**PLACE, "job": job("other", app="other"), "request_id": "epoch-2"})
            found = [
                each.reference.job_id for each in jobs.list_jobs(request={**PLACE, "filter": "labels.app = orders"})
            ]
            got = jobs.get_job(request={**PLACE, "job_id": "backfill-1"})
            cancelled = jobs.cancel_job(request={**PLACE, "job_id": "backfill-1"})
        states = [JobStatus.State(each.status.state).name for each in (got, cancelled)]
        return dg.MaterializeResult(metadata={"found": dg.JsonMetadataValue([*found, *states])})

    resource = DataprocResource(project=PROJECT, region=REGION, endpoint=endpoint)
    result = dg.materialize([backfilled], resources={"dataproc": resource})
    (made,) = result.asset_materializations_for_node("backfilled")
    assert made.metadata["found"].value == ["backfill-1", "RUNNING", "CANCEL_PENDING"]
    assert set(controller.jobs) == {"backfill-1", "other"}


def test_no_answer_in_time_is_told_and_is_not_tried_again(endpoint: str, controller: Controller) -> None:
    controller.hang = threading.Event()
    service = Dataproc(PROJECT, REGION, endpoint, timeout_s=0.5)
    with pytest.raises(ServiceUnavailable, match=r"europe-west1 did not answer within 0\.5 s"), service.jobs() as jobs:
        jobs.get_job(request={**PLACE, "job_id": "x"})
    assert controller.calls == ["get"]


def test_nobody_there_is_told_at_once(endpoint: str) -> None:
    service = Dataproc(PROJECT, REGION, "127.0.0.1:1")
    with pytest.raises(ServiceUnavailable, match="can't be reached") as raised, service.jobs() as jobs:
        jobs.list_jobs(request=PLACE)
    assert "dataproc.region" in raised.value.fix


def test_a_refusal_says_what_to_grant(endpoint: str, controller: Controller) -> None:
    controller.refuse = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(OrdersError) as raised, Dataproc(PROJECT, REGION, endpoint).jobs() as jobs:
        jobs.submit_job(request={**PLACE, "job": job("x")})
    assert raised.value.what == "Dataproc refused: the account lacks dataproc.jobs.create."
    assert f"the project {PROJECT}" in raised.value.fix


def test_what_is_not_there_can_be_caught_or_is_told(endpoint: str) -> None:
    with Dataproc(PROJECT, REGION, endpoint).jobs() as jobs, pytest.raises(NotFound):
        jobs.get_job(request={**PLACE, "job_id": "x"})
    with (
        pytest.raises(OrdersError, match=r"NotFound: Not found: x\."),
        Dataproc(PROJECT, REGION, endpoint).jobs() as jobs,
    ):
        jobs.get_job(request={**PLACE, "job_id": "x"})


def test_with_credentials_of_the_environment_the_region_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "credentials.json"
    given = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    file.write_text(json.dumps(given | {"quota_project_id": PROJECT}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    service = Dataproc(PROJECT, REGION)
    for open_client in (service.jobs, service.clusters, service.batches, service.policies):
        with open_client() as client:
            assert client.transport.host == f"{REGION}-dataproc.googleapis.com:443"


def test_without_credentials_it_says_how_to_get_some(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with (
        pytest.raises(OrdersError, match="gcloud auth application-default login"),
        Dataproc(PROJECT, REGION).clusters(),
    ):
        pass


@pytest.mark.parametrize("endpoint", ["dataproc.example:443", "10.0.0.1:80", "127.0.0.1", "localhost.example:1", ""])
def test_an_endpoint_elsewhere_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="not on this machine"):
        Dataproc(PROJECT, REGION, endpoint)


def test_the_settings_say_where_and_the_resource_may_say_otherwise(home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"dataproc\.project and dataproc\.region"):
        DataprocResource().service()
    monkeypatch.setenv("ORDERS_DATAPROC__PROJECT", PROJECT)
    monkeypatch.setenv("ORDERS_DATAPROC__REGION", REGION)
    assert DataprocResource().service() == Dataproc(PROJECT, REGION)
    monkeypatch.setenv("ELSEWHERE", "us-east1")
    with dg.build_resources({"it": DataprocResource(region=dg.EnvVar("ELSEWHERE"))}) as found:
        assert found.it.service() == Dataproc(PROJECT, "us-east1")


def test_loading_the_code_location_loads_nothing_of_google() -> None:
    program = (
        "import sys; import orders_platform.definitions, orders_platform.defs.dataproc;"
        "print([name for name in sys.modules if name.startswith(('google.cloud', 'google.api_core', 'google.auth'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
