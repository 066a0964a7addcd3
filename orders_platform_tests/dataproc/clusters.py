"""Dataproc's ClusterController, for the server of `fake`: operations that take a while, and clusters with a state."""

import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.dataproc_v1.types import (
    Cluster,
    ClusterStatus,
    CreateClusterRequest,
    GetClusterRequest,
    UpdateClusterRequest,
)
from google.longrunning.operations_pb2 import GetOperationRequest, Operation
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.status_pb2 import Status

SERVICE = "google.cloud.dataproc.v1.ClusterController"
OPERATIONS = "google.longrunning.Operations"


@dataclass
class FakeClusters:
    """The clusters of one project and region."""

    takes_s: float = 0.3
    clusters: dict[str, Cluster] = field(default_factory=dict)
    created: list[CreateClusterRequest] = field(default_factory=list)
    updated: list[UpdateClusterRequest] = field(default_factory=list)
    refuse: grpc.StatusCode | None = None
    fails: str | None = None
    """What an operation says that comes to nothing."""
    _operations: dict[str, tuple[float, Cluster]] = field(default_factory=dict)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return what serves both APIs."""
        return [
            grpc.method_handlers_generic_handler(
                SERVICE,
                {
                    "GetCluster": _handler(self.get, GetClusterRequest, Cluster.serialize),
                    "CreateCluster": _handler(self.create, CreateClusterRequest, _bytes),
                    "UpdateCluster": _handler(self.update, UpdateClusterRequest, _bytes),
                },
            ),
            grpc.method_handlers_generic_handler(
                OPERATIONS,
                {"GetOperation": grpc.unary_unary_rpc_method_handler(
                    self.operation, GetOperationRequest.FromString, _bytes
                )},
            ),
        ]  # fmt: skip

    def get(self, request: GetClusterRequest, context: grpc.ServicerContext) -> Cluster:
        self._look(context)
        if request.cluster_name not in self.clusters:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: Cluster {request.cluster_name}.")
        return self.clusters[request.cluster_name]

    def create(self, request: CreateClusterRequest, context: grpc.ServicerContext) -> Operation:
        self._look(context)
        self.created.append(CreateClusterRequest(request))
        name = request.cluster.cluster_name
        if name in self.clusters:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: Cluster {name}.")
        made = Cluster(request.cluster)
        made.status = ClusterStatus(state=ClusterStatus.State.RUNNING)
        # Dataproc adds labels and names of its own.
        made.labels["goog-dataproc-cluster-name"] = name
        if self.fails is None:
            self.clusters[name] = made
        return self._begin(made)

    def update(self, request: UpdateClusterRequest, context: grpc.ServicerContext) -> Operation:
        self._look(context)
        self.updated.append(UpdateClusterRequest(request))
        found = self.clusters[request.cluster_name]
        for path in request.update_mask.paths:
            if path == "config.worker_config.num_instances":
                found.config.worker_config.num_instances = request.cluster.config.worker_config.num_instances
            elif path == "labels":
                for name, value in request.cluster.labels.items():
                    found.labels[name] = value
            else:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{path} can't be updated.")
        return self._begin(found)

    def operation(self, request: GetOperationRequest, context: grpc.ServicerContext) -> Operation:
        until_s, cluster = self._operations[request.name]
        if time.monotonic() < until_s:
            return Operation(name=request.name)
        if self.fails is not None:
            return Operation(name=request.name, done=True, error=Status(code=8, message=self.fails))
        packed = Packed()
        packed.Pack(Cluster.pb(cluster))
        return Operation(name=request.name, done=True, response=packed)

    def _begin(self, cluster: Cluster) -> Operation:
        name = f"projects/p/regions/r/operations/{len(self._operations)}"
        self._operations[name] = (time.monotonic() + self.takes_s, cluster)
        return Operation(name=name)

    def _look(self, context: grpc.ServicerContext) -> None:
        if self.refuse is not None:
            context.abort(self.refuse, "refused by the test")


def _bytes(message: Any) -> bytes:
    return message.SerializeToString()


def _handler(method: Any, request: Any, serialize: Any) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(method, request.deserialize, serialize)
