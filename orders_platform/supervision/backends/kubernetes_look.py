"""What the API server last said of the matcher, and a watch that says when to ask again.

The truth is always a whole look: the Deployment and the list of its pods. The watch only brings the next look forward,
so whatever becomes of it (broken off, expired, silent on a dead connection), nothing is believed for longer than
`LOOK_MAX_AGE_S`. Who looks once needs no watch; it begins with the second look, and ends when nobody looks any more.
"""

import threading
import time

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.supervision.backends.kubernetes_client import Cluster, Expired
from orders_platform.supervision.backends.kubernetes_objects import Deployment, Pod

LOOK_MAX_AGE_S = 5.0
WATCH_S = 30
"""How long one watch lasts; then a new one goes on where it ended, if anybody looked meanwhile."""
_PAUSE_S = 1.0


class Seen(msgspec.Struct, frozen=True):
    """One look."""

    deployment: Deployment
    pods: tuple[Pod, ...]
    version: str
    at_s: float
    selector: str


class Look:
    """The latest look at one cluster's matcher."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: Seen | None = None
        self._changed = threading.Event()
        self._asked = threading.Event()
        self._looked = threading.Event()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    def now(self) -> Seen:
        """Ask the API server.

        Raises:
            NotFound, ServiceUnavailable, OrdersError: as `Cluster`.
        """
        # What changes from here on is news again.
        self._changed.clear()
        self._seen = None
        deployment = self._cluster.deployment()
        selector = ",".join(f"{name}={value}" for name, value in deployment.spec.selector.match_labels.items())
        found = self._cluster.pods(selector)
        self._seen = Seen(deployment, found.items, found.metadata.resource_version, time.monotonic(), selector)
        self._looked.set()
        return self._seen

    def latest(self, *, watched: bool = True) -> Seen:
        """Return the latest look, or look again where something changed since or it is too old. Who asks for people
        alone does not let a watch begin, which would outlive the question.

        Raises:
            As `now`.
        """
        if watched:
            self._asked.set()
        seen = self._seen
        if seen is None or self._changed.is_set() or time.monotonic() - seen.at_s > LOOK_MAX_AGE_S:
            return self.now()
        if watched and (self._watcher is None or not self._watcher.is_alive()):
            self._watcher = threading.Thread(target=self._watch, name="kubernetes-watch", daemon=True)
            self._watcher.start()
        return seen

    def forget(self) -> None:
        """Believe nothing that was seen: we changed something."""
        self._changed.set()

    def close(self) -> None:
        """End the watch; it needs a moment to hear of it."""
        self._closed.set()
        self._looked.set()

    def _watch(self) -> None:
        while self._asked.is_set() and not self._closed.is_set():
            self._asked.clear()
            seen = self._seen
            if seen is not None:
                try:
                    for kind in self._cluster.changes(seen.selector, seen.version, WATCH_S):
                        if kind != "BOOKMARK":
                            self._changed.set()
                        if self._closed.is_set():
                            return
                except Expired:
                    pass  # the next look gives a new beginning
                except OrdersError:
                    self._closed.wait(_PAUSE_S)  # the look itself tells who is to know
            # What happened while nobody watched is not in any watch to come.
            self._looked.clear()
            self._changed.set()
            if not self._closed.is_set():
                self._looked.wait(WATCH_S)
