"""How often something may be done that costs MongoDB much."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """For no more than one part in `share` of the time, and no sooner again than after `least_s`; a failure counts as
    much as a success, for what takes too long fails."""

    def __init__(self, share: int, least_s: float = 0.0, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Be due at once. `clock_s` goes on steadily."""
        self._share, self._least_s, self._clock_s = share, least_s, clock_s
        self._begun_s = self._again_s = float("-inf")
        self._failed = False

    def is_due(self, back_s: float = float("-inf")) -> bool:
        """Tell whether it is time. `back_s` is when MongoDB was last found again: what had begun before and failed says
        nothing of what it costs."""
        return self._clock_s() >= self._again_s or (self._failed and self._begun_s < back_s)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Measure what is done inside."""
        self._begun_s, self._failed = self._clock_s(), True
        try:
            yield
            self._failed = False
        finally:
            ended_s = self._clock_s()
            self._again_s = ended_s + max(self._least_s, self._share * (ended_s - self._begun_s))
