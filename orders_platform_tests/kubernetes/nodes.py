"""What a cluster does beside its API server: the controllers of a Deployment with `Recreate`, and a node.

A pod's container is a real process of this machine, started with the variables of its template. As in a cluster it is
started again when it ends, with growing pauses; a pod that is deleted gets TERM, its grace period, then KILL; a pod
that is being ended is replaced at once, and only a new template waits until the old one's pods are gone.
"""

import hashlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from orders_platform_tests.kubernetes.api_server import Object, Refused, Storage, terminate

TICK_S = 0.05
FIRST_PAUSE_S = 0.3
OOM_EXIT = 137


class Life:
    """One pod's container on the node: what runs, and when it may be started again."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.again_at_s = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.killed_at_s = float("inf")
        self.reason = ""


class Nodes:
    """The controllers and the one node, in a thread. Faults are attributes, and hold for pods made from then on."""

    def __init__(self, storage: Storage, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.storage = storage
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self.waits: Object | None = None
        """Why containers can't start, such as `{"reason": "ImagePullBackOff", "message": ...}`."""
        self.unschedulable: str | None = None
        self.quota: str | None = None
        self.cut_off = False
        """The node hears of nothing: what runs goes on, whatever the API server says."""
        self.processes: list[subprocess.Popen[bytes]] = []
        self.most_at_once = 0
        self._lives: dict[str, Life] = {}
        self._number = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        for process in self.processes:
            end_all(process)

    def pods(self) -> list[Object]:
        return self.storage.all("pods")

    def process_of(self, pod: Object) -> subprocess.Popen[bytes]:
        process = self._lives[pod["metadata"]["uid"]].process
        assert process is not None
        return process

    def living(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.processes if process.poll() is None]

    def kill(self, pod: Object, reason: str) -> None:
        """Kill a container as the kernel does when its memory is used up."""
        self._lives[pod["metadata"]["uid"]].reason = reason
        end_all(self.process_of(pod))

    def evict(self, pod: Object, message: str) -> None:
        """End a pod for want of disk or memory, as the kubelet does: it stays, failed, and is replaced."""
        with self.storage.lock:
            end_all(self.process_of(pod))
            del self._lives[pod["metadata"]["uid"]]
            failed = {"phase": "Failed", "reason": "Evicted", "message": message}
            self.storage.change("pods", pod["metadata"]["name"], lambda found: found.update(status=failed))

    def _run(self) -> None:
        while not self._ended.wait(TICK_S):
            with self.storage.lock:
                for deployment in self.storage.all("deployments"):
                    self._control(deployment)
                if not self.cut_off:
                    for pod in self.pods():
                        self._tend(pod)
                    self._bury()
                self.most_at_once = max(self.most_at_once, len(self.living()))

    def _control(self, deployment: Object) -> None:
        template = deployment["spec"]["template"]
        revision = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        mine, others = [], []
        for pod in self.pods():
            (mine if pod["metadata"]["labels"]["pod-template-hash"] == revision else others).append(pod)
        wanted = deployment["spec"]["replicas"]
        for pod in others if wanted else [*mine, *others]:
            self._end(pod)
        if wanted == 0 or any(pod["status"]["phase"] in ("Pending", "Running") for pod in others):
            return
        active = [pod for pod in mine if not _is_going(pod) and pod["status"]["phase"] in ("Pending", "Running")]
        for pod in active[wanted:]:
            self._end(pod)
        for _ in range(wanted - len(active)):
            if self.quota is not None:
                self._condition(deployment, self.quota)
                return
            self._make(deployment["metadata"]["name"], template, revision)

    def _make(self, owner: str, template: Object, revision: str) -> None:
        self._number += 1
        metadata = json.loads(json.dumps(template["metadata"]))
        metadata["name"] = f"{owner}-{revision[:6]}-{self._number}"
        metadata["labels"]["pod-template-hash"] = revision
        self.storage.put("pods", {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}})

    def _condition(self, deployment: Object, message: str) -> None:
        failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
        if deployment["status"].get("conditions") != [failed]:
            name = deployment["metadata"]["name"]
            self.storage.change("deployments", name, lambda found: found["status"].update(conditions=[failed]))

    def _end(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if pod["status"]["phase"] in ("Failed", "Succeeded") or pod["metadata"]["uid"] not in self._lives:
            self.storage.remove("pods", name)
        elif not _is_going(pod):
            grace_s = pod["spec"]["terminationGracePeriodSeconds"]
            self.storage.change("pods", name, lambda found: terminate(found, grace_s))

    def _tend(self, pod: Object) -> None:
        if pod["status"]["phase"] in ("Failed", "Succeeded"):
            return
        name, life = pod["metadata"]["name"], self._lives.get(pod["metadata"]["uid"])
        if self.unschedulable is not None and life is None:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            self._show(name, {"phase": "Pending", "conditions": [condition | {"message": self.unschedulable}]})
        elif self.waits is not None and life is None:
            self._show(name, _status("Pending", {"waiting": self.waits}))
        elif life is None:
            self._lives[pod["metadata"]["uid"]] = life = Life()
            self._start(pod, life)
        elif _is_going(pod):
            self._going(pod, life)
        elif life.process is not None and life.process.poll() is not None:
            self._ended_process(name, life, life.process)
        elif life.process is None and time.monotonic() >= life.again_at_s:
            life.restarts += 1
            self._start(pod, life)

    def _start(self, pod: Object, life: Life) -> None:
        container = pod["spec"]["containers"][0]
        given = {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
        with self.log.open("ab") as log:
            life.process = subprocess.Popen(
                self.command, env=self.environment | given, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(life.process)
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        shown = _status("Running", state, life.restarts)
        if life.restarts:
            before = pod["status"]["containerStatuses"][0]
            shown["containerStatuses"][0]["lastState"] = before.get("lastState", before["state"])
        self.storage.change("pods", pod["metadata"]["name"], _on_node(shown))

    def _ended_process(self, name: str, life: Life, process: subprocess.Popen[bytes]) -> None:
        end_all(process)
        code = process.returncode
        exit_code = 128 - code if code < 0 else code
        reason = life.reason or ("Completed" if exit_code == 0 else "Error")
        terminated = {"exitCode": exit_code, "reason": reason, "message": "the last words of its log"}
        life.process, life.again_at_s = None, time.monotonic() + life.pause_s
        life.pause_s, life.reason = life.pause_s * 2, ""
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
        shown = _status("Running", {"waiting": waiting}, life.restarts)
        shown["containerStatuses"][0]["lastState"] = {"terminated": terminated}
        self._show(name, shown)

    def _going(self, pod: Object, life: Life) -> None:
        grace_s = pod["metadata"]["deletionGracePeriodSeconds"]
        if life.process is not None and life.process.poll() is None:
            if life.killed_at_s == float("inf"):
                life.killed_at_s = time.monotonic() + grace_s
                life.process.terminate()
            elif time.monotonic() > life.killed_at_s:
                end_all(life.process)
            return
        self.storage.remove("pods", pod["metadata"]["name"])

    def _bury(self) -> None:
        """Kill what belongs to no pod any more."""
        known = {pod["metadata"]["uid"] for pod in self.pods()}
        for uid in [uid for uid in self._lives if uid not in known]:
            process = self._lives.pop(uid).process
            if process is not None and process.poll() is None:
                end_all(process)

    def _show(self, name: str, status: Object) -> None:
        try:
            if self.storage.get("pods", name)["status"] != status:
                self.storage.change("pods", name, lambda found: found.update(status=status))
        except Refused:
            pass  # deleted meanwhile


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a container: its first process and everything that this one left, whose session is its own."""
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()


def _status(phase: str, state: Object, restarts: int = 0) -> Object:
    container = {
        "name": "matcher", "image": "orders:1", "imageID": "", "ready": "running" in state,
        "restartCount": restarts, "state": state,
    }  # fmt: skip
    return {"phase": phase, "containerStatuses": [container]}


def _on_node(status: Object) -> Any:
    def change(pod: Object) -> None:
        pod["status"] = status
        pod["spec"]["nodeName"] = "node-1"

    return change


def _is_going(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]
