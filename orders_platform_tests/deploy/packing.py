"""A package built from a clone of the commit under test, whatever lies beside it."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from orders_platform.deploy.package import Package

ROOT = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_BUILD = """
import sys, msgspec
from pathlib import Path
from orders_platform.deploy.package import build
made = build(Path(sys.argv[1]), Path(sys.argv[2]), python=sys.argv[3])
print(msgspec.json.encode(made, enc_hook=str).decode())
"""


def clone(to: Path) -> Path:
    """Return a clone of this repository's commit."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", ROOT, to], check=True)
    return to


def build(repository: Path, to: Path, *, umask: int = 0o022, **environment: str) -> Package:
    """Build in a process of its own, with another surroundings."""
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, repository, to, PYTHON],
        cwd=ROOT,
        env=dict(os.environ) | environment,
        umask=umask,
        stdout=subprocess.PIPE,
        check=True,
        timeout=240,
    )
    return msgspec.json.decode(done.stdout, type=Package, dec_hook=lambda kind, given: kind(given))
