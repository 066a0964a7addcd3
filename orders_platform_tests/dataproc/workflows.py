"""Dataproc's WorkflowTemplateService and AutoscalingPolicyService, for the server of `fake`: a workflow's job runs for
real, on a cluster that is there only as long; what Google would refuse is refused."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import psutil
from google.cloud.dataproc_v1.types import (
    AutoscalingPolicy,
    CreateAutoscalingPolicyRequest,
    GetAutoscalingPolicyRequest,
    InstantiateInlineWorkflowTemplateRequest,
    Job,
    JobReference,
    UpdateAutoscalingPolicyRequest,
    WorkflowMetadata,
)
from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from orders_platform_tests.dataproc.clusters import OPERATIONS
from orders_platform_tests.dataproc.fake import Runner, kill

POLICIES = "google.cloud.dataproc.v1.AutoscalingPolicyService"
WORKFLOWS = "google.cloud.dataproc.v1.WorkflowTemplateService"
_STEP = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{1,48}[a-zA-Z0-9]")


@dataclass
class FakePolicies:
    """The autoscaling policies of one project and region."""

    policies: dict[str, AutoscalingPolicy] = field(default_factory=dict)
    written: int = 0

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return what serves the API."""
        methods = {
            "GetAutoscalingPolicy": _handler(self.get, GetAutoscalingPolicyRequest),
            "CreateAutoscalingPolicy": _handler(self.create, CreateAutoscalingPolicyRequest),
            "UpdateAutoscalingPolicy": _handler(self.update, UpdateAutoscalingPolicyRequest),
        }
        return [grpc.method_handlers_generic_handler(POLICIES, methods)]

    def get(self, request: GetAutoscalingPolicyRequest, context: grpc.ServicerContext) -> AutoscalingPolicy:
        if request.name not in self.policies:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {request.name}.")
        return self.policies[request.name]

    def create(self, request: CreateAutoscalingPolicyRequest, context: grpc.ServicerContext) -> AutoscalingPolicy:
        name = f"{request.parent}/autoscalingPolicies/{request.policy.id}"
        if name in self.policies:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: {name}.")
        return self._keep(name, request.policy, context)

    def update(self, request: UpdateAutoscalingPolicyRequest, context: grpc.ServicerContext) -> AutoscalingPolicy:
        if request.policy.name not in self.policies:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: {request.policy.name}.")
        return self._keep(request.policy.name, request.policy, context)

    def _keep(self, name: str, policy: AutoscalingPolicy, context: grpc.ServicerContext) -> AutoscalingPolicy:
        workers = policy.worker_config
        basic: Any = policy.basic_algorithm
        yarn = basic.yarn_config
        wrong = [
            not timedelta(minutes=2) <= basic.cooldown_period <= timedelta(days=1),
            not 0 <= yarn.scale_up_factor <= 1 or not 0 <= yarn.scale_down_factor <= 1,
            not yarn.graceful_decommission_timeout <= timedelta(days=1),
            not 2 <= workers.min_instances <= workers.max_instances,
            policy.secondary_worker_config.min_instances > policy.secondary_worker_config.max_instances,
        ]
        if any(wrong):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The policy is not valid.")
        made = AutoscalingPolicy(policy)
        made.name = name
        self.policies[name] = made
        self.written += 1
        return made


@dataclass
class FakeWorkflows:
    """Workflows of one project and region; each runs its one job by the runner."""

    runner: Runner
    requests: list[InstantiateInlineWorkflowTemplateRequest] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    """What the workflows made, in their order; all of them are gone when it is over."""
    _running: dict[str, psutil.Popen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return what serves both APIs."""
        ask = grpc.unary_unary_rpc_method_handler(self.operation, GetOperationRequest.FromString, _bytes)
        begin = grpc.unary_unary_rpc_method_handler(
            self.instantiate, InstantiateInlineWorkflowTemplateRequest.deserialize, _bytes
        )
        return [
            grpc.method_handlers_generic_handler(WORKFLOWS, {"InstantiateInlineWorkflowTemplate": begin}),
            grpc.method_handlers_generic_handler(OPERATIONS, {"GetOperation": ask}),
        ]

    def instantiate(
        self, request: InstantiateInlineWorkflowTemplateRequest, context: grpc.ServicerContext
    ) -> Operation:
        template: Any = request.template
        managed = template.placement.managed_cluster
        wrong = [
            not managed.cluster_name,
            not managed.config.autoscaling_config.policy_uri,
            len(template.jobs) != 1 or not _STEP.fullmatch(template.jobs[0].step_id),
            not timedelta(minutes=10) <= template.dag_timeout <= timedelta(hours=24),
        ]
        if any(wrong):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The workflow is not valid.")
        (ordered,) = template.jobs
        with self._lock:
            self.requests.append(InstantiateInlineWorkflowTemplateRequest(request))
            # Dataproc adds a suffix of its own to the name.
            name = f"{managed.cluster_name}-{len(self.requests):04}"
            self.clusters.append(name)
            job = Job(reference=JobReference(job_id=f"{ordered.step_id}-{name}"), pyspark_job=ordered.pyspark_job)
            self._running[name] = self.runner(job)
        return Operation(name=name)

    def operation(self, request: GetOperationRequest, context: grpc.ServicerContext) -> Operation:
        process, told = self._running[request.name], Packed()
        told.Pack(WorkflowMetadata.pb(WorkflowMetadata(cluster_name=request.name)))
        if (status := process.poll()) is None:
            return Operation(name=request.name, metadata=told)
        if status:
            said = f"Workflow failed: job exited with {status}"
            return Operation(name=request.name, metadata=told, done=True, error=Status(code=10, message=said))
        empty = Packed()
        empty.Pack(Empty())
        return Operation(name=request.name, metadata=told, done=True, response=empty)

    def close(self) -> None:
        """End every process."""
        for process in self._running.values():
            kill(process)


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()


def _handler(method: Callable[..., AutoscalingPolicy], request: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(method, request.deserialize, AutoscalingPolicy.serialize)
