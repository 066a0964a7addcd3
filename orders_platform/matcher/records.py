"""The records through which the matcher, its supervisor and those who watch them speak, as values."""

from orders_platform.store.lease import Lease
from orders_platform.store.matcher_records import Desired, Heartbeat, Offsets, Start

__all__ = ["Desired", "Heartbeat", "Lease", "Offsets", "Start"]
