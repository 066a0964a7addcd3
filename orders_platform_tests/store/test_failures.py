"""The table of what the driver raises, and the real refusals of a real mongod."""

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    InvalidURI,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from orders_platform.errors import FatalStoreError, RetryableStoreError, StoreError, UnknownOutcome
from orders_platform.store.client import Store
from orders_platform.store.failures import sorted_error, translated

SECRET = "mongodb://user:hunter2@db/"  # what must never be repeated


def labelled(error: PyMongoError, label: str) -> PyMongoError:
    error._add_error_label(label)
    return error


def bulk(codes: list[int], write_concern_errors: int = 0) -> BulkWriteError:
    concern = [{"code": 64, "errmsg": "waiting for replication timed out"}] * write_concern_errors
    return BulkWriteError({"writeErrors": [{"code": code} for code in codes], "writeConcernErrors": concern})


# what the driver raises, what a read makes of it, what a write makes of it
TABLE: list[tuple[Exception, type[StoreError], type[StoreError]]] = [
    (ServerSelectionTimeoutError(SECRET), RetryableStoreError, RetryableStoreError),
    (WaitQueueTimeoutError(SECRET), RetryableStoreError, RetryableStoreError),
    (NotPrimaryError(SECRET), RetryableStoreError, RetryableStoreError),
    (ConnectionFailure(SECRET), RetryableStoreError, UnknownOutcome),
    (AutoReconnect(SECRET), RetryableStoreError, UnknownOutcome),
    (NetworkTimeout(SECRET), RetryableStoreError, UnknownOutcome),
    (ExecutionTimeout(SECRET, 50), RetryableStoreError, RetryableStoreError),
    (CursorNotFound(SECRET, 43), RetryableStoreError, RetryableStoreError),
    (WTimeoutError(SECRET, 64), UnknownOutcome, UnknownOutcome),
    (WriteConcernError(SECRET, 100), UnknownOutcome, UnknownOutcome),
    (labelled(AutoReconnect(SECRET), "TransientTransactionError"), RetryableStoreError, RetryableStoreError),
    (labelled(AutoReconnect(SECRET), "UnknownTransactionCommitResult"), UnknownOutcome, UnknownOutcome),
    (labelled(WTimeoutError(SECRET, 64), "UnknownTransactionCommitResult"), UnknownOutcome, UnknownOutcome),
    (labelled(OperationFailure(SECRET, 91), "RetryableWriteError"), RetryableStoreError, RetryableStoreError),
    *[
        (OperationFailure(SECRET, code), RetryableStoreError, RetryableStoreError)
        for code in (
            6,
            7,
            24,
            46,
            50,
            89,
            91,
            94,
            112,
            133,
            134,
            189,
            211,
            246,
            251,
            262,
            290,
            9001,
            10107,
            11600,
            11602,
            13435,
            13436,
        )
    ],
    (OperationFailure(SECRET, 14031), RetryableStoreError, RetryableStoreError),  # disk full: there may be room again
    (bulk([112, 112]), RetryableStoreError, RetryableStoreError),
    (bulk([112, 121]), FatalStoreError, FatalStoreError),
    (bulk([11000]), FatalStoreError, FatalStoreError),
    (bulk([], write_concern_errors=1), UnknownOutcome, UnknownOutcome),
    (DuplicateKeyError(SECRET, 11000), FatalStoreError, FatalStoreError),
    *[(OperationFailure(SECRET, code), FatalStoreError, FatalStoreError) for code in (2, 9, 11, 13, 18, 20, 121, 8000)],
    (OperationFailure(SECRET), FatalStoreError, FatalStoreError),
    (ConfigurationError(SECRET), FatalStoreError, FatalStoreError),
    (InvalidURI(SECRET), FatalStoreError, FatalStoreError),
    (InvalidOperation(SECRET), FatalStoreError, FatalStoreError),
    (InvalidDocument(SECRET), FatalStoreError, FatalStoreError),
    (DocumentTooLarge(SECRET), FatalStoreError, FatalStoreError),
    (PyMongoError(SECRET), FatalStoreError, FatalStoreError),
]


@pytest.mark.parametrize(("raised", "reading", "writing"), TABLE)
def test_what_the_driver_raises_is_sorted(
    raised: Exception, reading: type[StoreError], writing: type[StoreError]
) -> None:
    for sorted_as, is_writing in ((reading, False), (writing, True)):
        error = sorted_error(raised, writing=is_writing)
        assert type(error) is sorted_as
        assert error.what.endswith(".")
        assert error.fix.endswith(".")
        assert "hunter2" not in str(error)


def test_only_the_drivers_errors_are_translated() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError
    with pytest.raises(RetryableStoreError) as raised, translated():
        raise AutoReconnect("gone")
    assert isinstance(raised.value.__cause__, AutoReconnect)


@pytest.mark.services
def test_a_real_refusal_names_its_code(store: Store) -> None:
    with pytest.raises(FatalStoreError, match="code 59"), translated():
        store.database.command("noSuchCommand")
    with pytest.raises(FatalStoreError, match="code 11000"), translated():
        store.matcher.insert_one({"_id": "twice"})
        store.matcher.insert_one({"_id": "twice"})
