"""The supervisor: looks, decides, acts, every other second, until it is told to end. The matcher outlives it.

Every start is put on record before it happens, with what it was started with, and closed when it is over; so a
supervisor that is killed at any moment leaves nothing behind that the next one can't take up.
"""

import threading
import time
import traceback
from collections.abc import Callable

from orders_platform.errors import OrdersError
from orders_platform.local.home import prepare
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.supervision import act, rounds
from orders_platform.supervision.backends.choose import make_backend, policy_of
from orders_platform.supervision.decide import ASKED, DIED, Alert, Policy, Restart, Start, Stop, Wait
from orders_platform.supervision.observe import Backend, Handle, MakeBackend, Memory, is_gone
from orders_platform.supervision.rounds import Sight, SteadyClock

TICK_S = 2.0
BUSY_TICK_S = 1.0
GLANCE_S = 0.25


class Supervisor:
    """Keeps the matcher of one home at work."""

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        policy: Policy | None = None,
        backend: MakeBackend = make_backend,
    ) -> None:
        self._settings = settings
        self._say = say
        self._policy = policy or policy_of(settings)
        self._clock = SteadyClock()
        self._memory = Memory()
        self._me = rounds.identity(settings)
        self._connections = rounds.Connections(settings, backend)
        self._last: Handle | None = None
        self._proved = 0
        self._ending = DIED
        self._said = ""

    def run(self, ended: threading.Event) -> None:
        """Supervise until `ended` is set.

        Raises:
            StackError: the home can't be written.
        """
        prepare(self._settings.home)
        self._say(f"Supervising the matcher of {self._settings.home}.")
        try:
            while not ended.is_set():
                self._sleep(ended, self.tick())
        finally:
            if self._connections.backend is not None:
                self._connections.backend.close()
            self._connections.close()
        self._say("The supervisor ends; the matcher goes on." if self._last else "The supervisor ends.")

    def _sleep(self, ended: threading.Event, seconds: float) -> None:
        """Wait for the next look, which a death brings forward: that much is cheap to see."""
        until_s = time.monotonic() + seconds
        backend = self._connections.backend
        while not ended.wait(GLANCE_S) and time.monotonic() < until_s:
            if backend is not None and self._last is not None and is_gone(backend):
                return

    def tick(self) -> float:
        """Look, decide and act once; return the seconds until the next look."""
        try:
            return self._tick()
        except OrdersError as error:
            # A service went away in the middle: nothing is known to have happened, and the next look tells.
            self._say_once(str(error))
            return TICK_S
        except Exception:
            # A defect; but a matcher that nobody watches any more would be worse than a look that failed.
            self._say_once(traceback.format_exc())
            return TICK_S

    def _tick(self) -> float:
        sight = rounds.make_round(
            self._settings,
            self._connections,
            self._me,
            self._memory,
            self._clock,
            self._policy,
            self._ending,
        )
        store, backend, _ = self._connections.get()
        for told in act.record_ends(sight, store, backend):
            self._say(told)
        self._memory = sight.memory
        if sight.facts.running is None:
            self._ending = DIED
        self._report(sight)
        rounds.note_look(self._settings, self._connections, sight)
        running = sight.facts.running
        if sight.committed and running is not None and running.epoch != self._proved:
            self._proved = running.epoch
            records.forget_start_offsets(store)
            backend.proved(running)
        self._last = running
        self._act(sight, store, backend)
        return TICK_S if sight.state in ("running", "stopped", "failed") else BUSY_TICK_S

    def _act(self, sight: Sight, store: Store, backend: Backend) -> None:
        running = sight.facts.running
        match sight.action:
            case Start(attempt, reason) as action if sight.desired is not None:
                self._last = handle = act.start(self._me, action, sight, store, backend)
                self._ending = DIED
                self._say(f"Starts the matcher: epoch {handle.epoch}, attempt {attempt}, {handle.told}. {reason}")
            case Restart(reason, end) as action if running is not None:
                self._say(f"Ends the matcher ({running.told}). {reason}")
                self._ending = end
                act.end(action, running, backend)
            case Stop(reason, drain) if running is not None:
                self._ending = ASKED
                self._say_once(f"Stops the matcher ({running.told}). {reason}")
                if not drain:
                    backend.stop(running, drain=False)
            case Alert(reason, fix):
                self._say_once(f"{reason} {fix}")
            case Wait(_, reason):
                told = " ".join((reason, *sight.facts.problems))
                self._say_once(told, quiet=running is not None and not sight.facts.problems)
            case _:
                pass

    def _report(self, sight: Sight) -> None:
        try:
            rounds.write_report(self._settings.home, sight)
        except OSError as error:
            # A full disk must not keep a matcher from being restarted; only `orders status` knows less.
            self._say_once(f"The report for `orders status` can't be written: {error.strerror}.")

    def _say_once(self, text: str, quiet: bool = False) -> None:
        """Say what is not yet said. What differs in its figures alone is said already."""
        plain = text.translate(_NO_FIGURES)
        if plain != self._said and not quiet:
            self._say(text)
        self._said = plain


_NO_FIGURES = str.maketrans("", "", "0123456789")
