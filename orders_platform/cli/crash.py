"""Where the traceback of a defect goes."""

import os
import re
import tempfile
import time
import traceback
from pathlib import Path

from orders_platform.surroundings import home_of

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


def write_report(error: BaseException) -> Path | None:
    """Write a traceback to the home's logs, else to the directory for temporary files; None if neither can be written.

    Credentials in addresses are left out.
    """
    text = _CREDENTIALS.sub("***@", "".join(traceback.format_exception(error)))
    name = f"crash-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}.log"
    for folder in (home_of(os.environ) / "logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / name
            file.touch(mode=0o600)
            file.write_text(text)
        except OSError:
            continue
        return file
    return None
