"""What a code server of Dagster's finds, without the server."""

import tomllib
from pathlib import Path
from typing import Any

from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._grpc.server import LoadedRepositories


def loaded_as(way: str, root: str) -> dict[str, Any]:
    """Load what `workspace.yaml` or `[tool.dg]` of a repository names; return the location's name and what is in it."""
    if way == "workspace.yaml":
        (origin,) = WorkspaceFileTarget([str(Path(root) / way)]).create_origins()
        assert isinstance(origin, ManagedGrpcPythonEnvCodeLocationOrigin)
        name, target = origin.location_name, origin.loadable_target_origin
    else:
        project = tomllib.loads((Path(root) / "pyproject.toml").read_text())["tool"]["dg"]["project"]
        name = project["code_location_name"]
        target = LoadableTargetOrigin(module_name=project["code_location_target_module"])
    (repository,) = LoadedRepositories(target, None, ["dagster"], None).definitions_by_name.values()
    return {
        "location": name,
        "assets": sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()),
        "schedules": [schedule.name for schedule in repository.schedule_defs],
    }
