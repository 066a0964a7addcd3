"""Where the matcher's checkpoint is, and which one comes next.

On this machine a checkpoint that is given up is renamed. Elsewhere nothing is: object stores have no atomic rename, so
the next checkpoint gets a name of its own, and the old one stays where it is. MongoDB knows which one holds.
"""

from datetime import UTC, datetime
from pathlib import Path

from orders_platform.errors import CheckpointError
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records


def location(settings: Settings, begun: records.BegunCheckpoint | None) -> str | None:
    """Return where the matcher's checkpoint is; None: in its home. `begun` is what MongoDB knows of it."""
    configured = settings.checkpoint()
    if configured is None or begun is None or begun.base != configured:
        return configured
    return begun.location


def on_this_machine(settings: Settings) -> Path | None:
    """Return the checkpoint's directory on this machine, or None if it is elsewhere."""
    given = settings.checkpoint()
    if given is None:
        return settings.home / "checkpoint"
    if settings.matcher.backend != "local":
        return None  # a path there is a volume's
    if given.startswith("file:"):
        return Path("/" + given.removeprefix("file:").lstrip("/"))
    return None if "://" in given else Path(given)


def give_up(settings: Settings, begun: records.BegunCheckpoint | None) -> tuple[str | None, str | None]:
    """Give the checkpoint up; return where the old one is now, if there was one here, and where the next one begins.

    Raises:
        CheckpointError: it can't be renamed.
    """
    here = on_this_machine(settings)
    if here is not None:
        aside = put_aside(here)
        return None if aside is None else str(aside), settings.checkpoint()
    old = location(settings, begun) or ""
    return old, _next(str(settings.checkpoint()), old)


def put_aside(checkpoint: Path) -> Path | None:
    """Rename the checkpoint's directory and return its new name, or None if there is none.

    Raises:
        CheckpointError: it can't be renamed.
    """
    if not checkpoint.exists():
        return None
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    try:
        checkpoint.rename(aside)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {checkpoint} can't be moved aside: {error.strerror}.", "Mend its directory's permissions."
        ) from None
    return aside


def _next(base: str, old: str) -> str:
    """Return the name after `old`: base, base.2, base.3 and so on."""
    number = old.removeprefix(f"{base}.")
    return f"{base}.{int(number) + 1 if number.isdecimal() else 2}"
