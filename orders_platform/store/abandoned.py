"""Ends transactions whose client died: MongoDB alone would let them lock their documents for a minute or more."""

from typing import Any

from pymongo.errors import PyMongoError

from orders_platform.store.client import APPLICATION, Store


def end_transactions(store: Store, idle_s: float) -> int:
    """End our open transactions that have waited for their client longer than `idle_s`; return how many.

    Whoever owns one merges again from a new snapshot, so ending one too many costs time and nothing else. Without the
    right to do so, or without MongoDB, none is ended: the server's own time limit is left.
    """
    try:
        idle = list(store.client.admin.aggregate(_idle(idle_s)))
        if idle:
            store.client.admin.command("killSessions", [{"id": entry["lsid"]["id"]} for entry in idle])
    except PyMongoError:
        return 0
    return len(idle)


def _idle(idle_s: float) -> list[dict[str, Any]]:
    return [
        {"$currentOp": {"idleSessions": True}},
        {
            "$match": {
                "type": "idleSession",
                "appName": APPLICATION,
                "transaction.timeInactiveMicros": {"$gt": int(idle_s * 1e6)},
            }
        },
        {"$project": {"lsid": 1}},
    ]
