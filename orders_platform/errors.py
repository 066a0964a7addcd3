"""Every error that the platform raises on purpose.

OrdersError                 what happened, and what to do
├── UsageError              the command line is wrong (exit status 2)
│   └── SettingsError       a setting is unknown or has a value that it can't have
├── MissingDependency       Java, mongod or a jar is not there
├── StackError              a process of the local platform does not start, stop or run
├── ServiceUnavailable      Kafka or MongoDB can't be reached
├── StoreError              MongoDB refused a read or a write
│   ├── RetryableStoreError     trying again may help, and is safe
│   ├── FatalStoreError         trying again will not help
│   └── UnknownOutcome          the write may have happened; merging makes trying again safe
├── UnknownOrder            there is no order of that id
├── CheckpointError         a checkpoint is damaged or was made with another layout
└── Deposed                 a later epoch holds the lease
"""

from typing import ClassVar


class OrdersError(Exception):
    """One sentence that says what happened, and one that says what to do about it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what} {fix}")
        self.what = what
        self.fix = fix


class UsageError(OrdersError):
    """The command line is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown or has a value that it can't have."""


class MissingDependency(OrdersError):
    """Something that must be installed is not there."""


class StackError(OrdersError):
    """A process of the local platform does not start, stop or run."""


class ServiceUnavailable(OrdersError):
    """Kafka or MongoDB can't be reached."""


class StoreError(OrdersError):
    """MongoDB refused a read or a write."""


class RetryableStoreError(StoreError):
    """Trying again may help, and is safe."""


class FatalStoreError(StoreError):
    """Trying again will not help."""


class UnknownOutcome(StoreError):
    """The write may have happened; merging makes trying again safe."""


class UnknownOrder(OrdersError):
    """There is no order of that id."""


class CheckpointError(OrdersError):
    """A checkpoint is damaged or was made with another layout."""


class Deposed(OrdersError):
    """A later epoch holds the lease."""
