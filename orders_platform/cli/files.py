"""Files that commands write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orders_platform.errors import OrdersError


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write that becomes `path` when all went well; until then, and otherwise, `path` stays as it was.

    Raises:
        OrdersError: the file can't be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise OrdersError(
            f"The file {path} can't be written: {error.strerror}.", "Choose another place, or make room."
        ) from None
    finally:
        part.unlink(missing_ok=True)
