"""Dataproc's JobController and Secret Manager on a real gRPC server of this process, as Google describes them.

A job that is submitted runs: `Runner` makes a process of it. Its state follows the process, with the same steps and
words as Dataproc's, unless a test says otherwise: `deaf` jobs stay RUNNING whatever becomes of their driver.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil
from google.cloud.dataproc_v1.types import (
    CancelJobRequest,
    GetJobRequest,
    Job,
    JobStatus,
    ListJobsRequest,
    ListJobsResponse,
    SubmitJobRequest,
)
from google.cloud.secretmanager_v1.types import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    SecretPayload,
)

Runner = Callable[[Job], psutil.Popen]
State = JobStatus.State
OVER = frozenset({State.CANCELLED, State.DONE, State.ERROR})
_STATE = re.compile(r"status\.state\s*=\s*(ACTIVE|NON_ACTIVE)")
_LABEL = re.compile(r"labels\.([a-z0-9_-]+)\s*=\s*([A-Za-z0-9_-]+)")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LOOK_S = 0.05


@dataclass
class FakeDataproc:
    """Jobs of one project and region, in one cluster, and the secrets beside them."""

    runner: Runner
    clusters: set[str]
    secrets: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    processes: dict[str, psutil.Popen] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    submitted: list[SubmitJobRequest] = field(default_factory=list)
    refuse: dict[str, grpc.StatusCode] = field(default_factory=dict)
    """By method: what it answers instead."""
    lose_answers: bool = False
    """Do what is asked, and never say so."""
    deaf: bool = False
    pending_s: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def submit(self, request: SubmitJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("SubmitJob", context)
        with self._lock:
            name = request.job.reference.job_id
            if request.request_id in self.requests:
                return self.jobs[self.requests[request.request_id]]
            if len(request.request_id) > 40 or not _ID.fullmatch(name):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "An id is not valid.")
            if name in self.jobs:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: Job {name}.")
            if request.job.placement.cluster_name not in self.clusters:
                context.abort(grpc.StatusCode.NOT_FOUND, "Not found: Cluster.")
            self.requests[request.request_id] = name
            self.submitted.append(SubmitJobRequest(request))
            job = Job(request.job)
            job.driver_output_resource_uri = f"gs://staging/jobs/{name}/driveroutput"
            self.jobs[name] = job
            self._move(job, State.PENDING)
        threading.Thread(target=self._live, args=(name,), daemon=True).start()
        if self.lose_answers:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline exceeded.")
        return job

    def get(self, request: GetJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("GetJob", context)
        return self._named(request.job_id, context)

    def listed(self, request: ListJobsRequest, context: grpc.ServicerContext) -> ListJobsResponse:
        self._called("ListJobs", context)
        terms = [term.strip() for term in request.filter.split(" AND ")] if request.filter else []
        tests: list[Callable[[Job], bool]] = []
        for term in terms:
            if (state := _STATE.fullmatch(term)) is not None:
                active = state.group(1) == "ACTIVE"
                tests.append(lambda job, active=active: (job.status.state not in OVER) == active)
            elif (label := _LABEL.fullmatch(term)) is not None:
                name, value = label.groups()
                tests.append(lambda job, name=name, value=value: job.labels.get(name) == value)
            else:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid filter: {term}.")
        with self._lock:
            return ListJobsResponse(jobs=[job for job in self.jobs.values() if all(test(job) for test in tests)])

    def cancel(self, request: CancelJobRequest, context: grpc.ServicerContext) -> Job:
        self._called("CancelJob", context)
        job = self._named(request.job_id, context)
        with self._lock:
            if job.status.state in OVER:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "The job is over.")
            self._move(job, State.CANCEL_PENDING)
        return job

    def access(self, request: AccessSecretVersionRequest, context: grpc.ServicerContext) -> AccessSecretVersionResponse:
        self._called("AccessSecretVersion", context)
        if request.name not in self.secrets:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret Version [{request.name}] not found.")
        return AccessSecretVersionResponse(
            name=request.name, payload=SecretPayload(data=self.secrets[request.name].encode())
        )

    def states(self, name: str) -> list[str]:
        """Return what a job has been through."""
        job = self.jobs[name]
        return [each.state.name for each in (*job.status_history, job.status)]

    def active(self) -> list[str]:
        """Return the jobs that are not over."""
        with self._lock:
            return [name for name, job in self.jobs.items() if job.status.state not in OVER]

    def close(self) -> None:
        """End every process."""
        with self._lock:
            self._ended.set()
        for process in self.processes.values():
            kill(process)

    def _live(self, name: str) -> None:
        """Lead a job through its states."""
        job = self.jobs[name]
        until_s = time.monotonic() + self.pending_s
        while time.monotonic() < until_s and not self._ended.is_set() and job.status.state == State.PENDING:
            time.sleep(_LOOK_S)
        with self._lock:
            if job.status.state != State.PENDING or self._ended.is_set():
                self._move(job, State.CANCELLED)
                return
            self._move(job, State.SETUP_DONE)
            process = self.processes[name] = self.runner(job)
            self._move(job, State.RUNNING)
        while not self._ended.wait(_LOOK_S):
            if job.status.state == State.CANCEL_PENDING:
                self._move(job, State.CANCEL_STARTED)
                kill(process)
                self._move(job, State.CANCELLED)
                return
            if process.poll() is not None and not self.deaf:
                state = State.DONE if process.returncode == 0 else State.ERROR
                self._move(job, state, f"Driver exited with {process.returncode}." if process.returncode else "")
                return

    def _move(self, job: Job, state: State, details: str = "") -> None:
        with self._lock:
            if job.status.state != State.STATE_UNSPECIFIED:
                job.status_history.append(JobStatus(job.status))
            job.status = JobStatus(state=state, details=details)

    def _named(self, name: str, context: grpc.ServicerContext) -> Job:
        if name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: Job {name}.")
        return self.jobs[name]

    def _called(self, method: str, context: grpc.ServicerContext) -> None:
        if method in self.refuse:
            context.abort(self.refuse[method], "refused by the test")


@contextmanager
def serving(fake: FakeDataproc, *more: grpc.GenericRpcHandler) -> Iterator[str]:
    """Serve both APIs, and more, and give the address."""
    jobs = {
        "SubmitJob": _unary(fake.submit, SubmitJobRequest, Job),
        "GetJob": _unary(fake.get, GetJobRequest, Job),
        "ListJobs": _unary(fake.listed, ListJobsRequest, ListJobsResponse),
        "CancelJob": _unary(fake.cancel, CancelJobRequest, Job),
    }
    secrets = {"AccessSecretVersion": _unary(fake.access, AccessSecretVersionRequest, AccessSecretVersionResponse)}
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler("google.cloud.dataproc.v1.JobController", jobs),
                grpc.method_handlers_generic_handler("google.cloud.secretmanager.v1.SecretManagerService", secrets),
                *more,
            ]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            fake.close()
            server.stop(None).wait()


def kill(process: psutil.Popen) -> None:
    """End a process and all that it started."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        family = [process]
    for each in family:
        try:
            each.kill()
        except psutil.Error:
            continue
    process.wait(30)


def _unary(method: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(method, request.deserialize, response.serialize)
