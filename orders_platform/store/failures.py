"""What the MongoDB driver raises, sorted by what a caller can know and do.

- `RetryableStoreError`: not done, and doing it again may work (no primary, a read that lost its connection, a
  conflict, a full disk).
- `UnknownOutcome`: it may have been done, or done and not yet be durable. Look before building on it.
- `FatalStoreError`: doing it again cannot work (wrong credentials, a document that the validator refuses, our bug).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    InvalidURI,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from orders_platform.errors import FatalStoreError, RetryableStoreError, StoreError, UnknownOutcome

DUPLICATE_KEY = 11000
WRITE_CONFLICT = 112
VALIDATION_FAILURE = 121
SNAPSHOT_TOO_OLD = 239
SNAPSHOT_UNAVAILABLE = 246

# Server codes that go away by themselves or with an operator's help: elections, shutdown, lock and snapshot trouble,
# time limits, transactions that the server dropped, a full disk.
_PASSING_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        46,  # LockBusy
        50,  # MaxTimeMSExpired
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        WRITE_CONFLICT,
        94,  # NotYetInitialized
        133,  # FailedToSatisfyReadPreference
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        211,  # KeyNotFound: just started, its keys for cluster times are not loaded yet
        225,  # TransactionTooOld
        244,  # TransactionAborted
        SNAPSHOT_UNAVAILABLE,
        251,  # NoSuchTransaction
        262,  # ExceededTimeLimit
        290,  # TransactionExceededLifetimeLimitSeconds
        317,  # ConnectionPoolExpired
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13388,  # StaleConfig
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
        14031,  # OutOfDiskSpace
    }
)
_CREDENTIAL_CODES = frozenset({11, 13, 18, 8000})  # UserNotFound, Unauthorized, AuthenticationFailed, Atlas' own


@contextmanager
def translated(*, writing: bool = False) -> Iterator[None]:
    """Turn what the driver raises inside into the store's own errors, the driver's as their cause."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise sorted_error(error, writing=writing) from error


def sorted_error(error: Exception, *, writing: bool) -> StoreError:
    """Return the store's error for what the driver raised. No text of a document or URI gets into it."""
    if isinstance(error, PyMongoError):
        if error.has_error_label("UnknownTransactionCommitResult"):
            return UnknownOutcome(
                f"MongoDB did not say whether it committed ({_name(error)}).",
                "Do the same again: merging is idempotent.",
            )
        if error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError"):
            return _retryable(error)
    if isinstance(error, BulkWriteError):
        return _of_bulk(error)
    if isinstance(error, ServerSelectionTimeoutError | WaitQueueTimeoutError | NotPrimaryError):
        return _retryable(error)
    if isinstance(error, WTimeoutError | WriteConcernError):
        return _unknown(error)
    if isinstance(error, ConnectionFailure):
        return _unknown(error) if writing else _retryable(error)
    if isinstance(error, ExecutionTimeout | CursorNotFound):
        return _retryable(error)
    if isinstance(error, OperationFailure):
        return _of_code(error, error.code)
    return _fatal(error)


def bad_uri(problem: str) -> FatalStoreError:
    """Return the error of a URI that is none. Nothing of it is repeated: it may hold a password."""
    return FatalStoreError(
        f"The MongoDB URI or one of its options is not valid ({problem}).",
        "Correct ORDERS_MONGO__URI: mongodb://..., with user name and password percent-encoded.",
    )


def _of_bulk(error: BulkWriteError) -> StoreError:
    details = cast("dict[str, Any]", error.details)
    codes = {item["code"] for item in details.get("writeErrors", ())}
    for code in sorted(codes - _PASSING_CODES):
        return _of_code(error, code)
    if codes:
        return _of_code(error, min(codes))
    return _unknown(error)  # only the write concern failed: written, maybe not durable


def _of_code(error: OperationFailure, code: int | None) -> StoreError:
    if code == SNAPSHOT_TOO_OLD:
        return RetryableStoreError(
            "MongoDB no longer keeps what was stored when the reading began (code 239).",
            "Do it again when the machine has more time for it, or let MongoDB keep more: its parameter "
            "minSnapshotHistoryWindowInSeconds, 300 by default.",
        )
    if code in _PASSING_CODES:
        return _retryable(error, code)
    if code in _CREDENTIAL_CODES:
        return FatalStoreError(
            f"MongoDB refused our credentials or rights (code {code}).",
            "Check the user, password and roles of the MongoDB URI.",
        )
    if code == VALIDATION_FAILURE:
        return FatalStoreError(
            "MongoDB's validator refused a document (code 121).",
            "Run `orders up` once so that the schema is migrated to this version; if it is, this is a bug: report it.",
        )
    if code == 20:
        return FatalStoreError(
            "This MongoDB has no transactions (code 20): it is not a replica set.",
            "Start mongod with --replSet and initiate it; one node is enough.",
        )
    return _fatal(error, code)


def _retryable(error: Exception, code: int | None = None) -> RetryableStoreError:
    return RetryableStoreError(
        f"MongoDB could not do it now ({_name(error, code)}).", "Check that mongod runs and has a primary; try again."
    )


def _unknown(error: Exception) -> UnknownOutcome:
    return UnknownOutcome(
        f"The connection to MongoDB broke before it confirmed a write ({_name(error)}).",
        "Do the same again: every write of the platform is idempotent.",
    )


def _fatal(error: Exception, code: int | None = None) -> FatalStoreError:
    if isinstance(error, ConfigurationError | InvalidURI):
        return bad_uri(_name(error))
    if isinstance(error, DocumentTooLarge):
        return FatalStoreError("A document is over MongoDB's 16 MB.", "This is a bug: report it.")
    if isinstance(error, InvalidOperation):
        return FatalStoreError(f"The MongoDB client was used wrongly ({_name(error)}).", "This is a bug: report it.")
    return FatalStoreError(f"MongoDB refused it ({_name(error, code)}).", "Look the code up in MongoDB's error list.")


def _name(error: Exception, code: int | None = None) -> str:
    code = code if code is not None else getattr(error, "code", None)
    return type(error).__name__ if code is None else f"{type(error).__name__}, code {code}"
