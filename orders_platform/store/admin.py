"""What a fresh or moved mongod needs before it can keep anything: a replica set of one. And what `doctor` asks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from orders_platform.errors import ServiceUnavailable
from orders_platform.store.client import connect
from orders_platform.store.failures import translated

REPLICA_SET = "orders"
SHARDED = "a sharded cluster"
_MAJORITY_TIMEOUT_MS = 2000
_NOT_YET_INITIALIZED = 94


@dataclass(frozen=True)
class Server:
    """What a MongoDB server says of itself.

    `zlib`: it takes messages compressed that way; `clock_offset_ms`: its clock less ours.
    """

    version: tuple[int, ...]
    replica_set: str | None
    majority_writes: bool
    zlib: bool
    clock_offset_ms: int


def become_primary(port: int, timeout_s: float, is_alive: Callable[[], bool]) -> None:
    """Make the mongod on this loopback port a replica set of one, whose primary it is when this returns.

    Raises:
        ServiceUnavailable: it ended, does not answer or does not become primary in time.
    """
    deadline = time.monotonic() + timeout_s
    last = "no answer"
    while time.monotonic() < deadline and is_alive():
        try:
            with _direct(port) as client:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
                _configure(client, f"127.0.0.1:{port}")
        except PyMongoError as error:
            last = type(error).__name__
        time.sleep(0.1)
    raise ServiceUnavailable(
        f"MongoDB on port {port} did not become a primary within {timeout_s:.0f} s ({last}).",
        "Read the log of mongo in the home's logs folder.",
    )


def inspect(uri: str, database: str, timeout_s: float = 5.0) -> Server:
    """Ask the server at `uri` who it is, and whether a majority of its set acknowledges what is written now.

    Nothing is changed: the write finds no document, and yet waits for the majority to have all before it.

    Raises:
        StoreError: it can't be reached or refuses us.
    """
    store = connect(uri, database, timeout_s=timeout_s)
    try:
        with translated():
            asked_s = time.time()
            hello: dict[str, Any] = store.client.admin.command("hello", compression=["zlib"])
            answered_s = time.time()
            there_s = hello["localTime"].replace(tzinfo=UTC).timestamp()
            version = store.client.server_info()["versionArray"]
            update = {"q": {"_id": "doctor"}, "u": {"$set": {"at": None}}}
            concern = {"w": "majority", "j": True, "wtimeout": _MAJORITY_TIMEOUT_MS}
            written = store.client[database].command("update", "matcher", updates=[update], writeConcern=concern)
            return Server(
                version=tuple(version[:3]),
                replica_set=hello.get("setName") or (SHARDED if hello.get("msg") == "isdbgrid" else None),
                majority_writes="writeConcernError" not in written,
                zlib="zlib" in hello.get("compression", ()),
                clock_offset_ms=round((there_s - (asked_s + answered_s) / 2) * 1000),
            )
    finally:
        store.close()


def _direct(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=1000,
        connectTimeoutMS=1000,
        socketTimeoutMS=10_000,
    )


def _configure(client: MongoClient[dict[str, Any]], host: str) -> None:
    members = [{"_id": 0, "host": host}]
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != host:
        # The home's port has changed since; only force is heard by a node that no longer knows itself.
        moved = config | {"version": config["version"] + 1, "members": [config["members"][0] | {"host": host}]}
        client.admin.command("replSetReconfig", moved, force=True)
