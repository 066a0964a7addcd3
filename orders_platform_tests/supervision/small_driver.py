"""A driver without Spark, for tests of what is around it: it holds the lease and beats for real, and is seconds faster.

`mode` in the home says how it behaves: `work` commits whatever is in the topics, `die` ends at once, `leave` too, as if
all were well, `hang` beats but never commits, `mute` says nothing at all. Like the real one it heeds a stop by itself,
and it has a child in a process group of its own, as PySpark's daemon is.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from orders_platform.errors import Deposed, ServiceUnavailable, StoreError
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import connect
from orders_platform.streams.offsets import end_offsets


def main() -> int:
    settings = Settings.load()
    epoch = int(os.environ["ORDERS_MATCHER_EPOCH"])
    mode = (settings.home / "mode").read_text()
    if mode in ("die", "leave"):
        return 1 if mode == "die" else 0
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
    (settings.home / "child").write_text(str(child.pid))
    uri = settings.mongo.given_uri()
    servers = settings.kafka.bootstrap_servers
    assert uri is not None
    assert servers is not None
    store = connect(uri, settings.mongo.database)
    while mode == "mute":
        time.sleep(1)
    first = records.Heartbeat(
        epoch=epoch, holder=f"small:{os.getpid()}", pid=os.getpid(), pid_started=0.0, state="starting",
        started_at_ms=0, alive_at_ms=0, code_version="", settings_hash="", checkpoint=str(Path("none")),
    )  # fmt: skip
    try:
        records.begin_heartbeat(store, first)
    except Deposed as deposed:
        print(deposed, file=sys.stderr)
        return 3
    batch_id, done = 0, None
    while True:
        try:
            if records.read_desired(store).state == "stopped":
                break
            records.renew_lease(store, epoch, f"small:{os.getpid()}", 15.0)
            ends = end_offsets(servers, {}, settings.kafka.topics)
            if mode == "work" and ends != done:
                offsets = {topic: {str(at): end for at, end in at_ends.items()} for topic, at_ends in ends.items()}
                records.record_batch(store, epoch, batch_id, offsets, batch={}, totals={}, duration_ms=1)
                batch_id, done = batch_id + 1, ends
            records.write_heartbeat(store, epoch, "running")
        except Deposed:
            return 3
        except (ServiceUnavailable, StoreError):
            pass  # away for now
        time.sleep(0.2)
    child.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
