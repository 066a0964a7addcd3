"""What a package is made of, as a CycloneDX document: the same bytes for the same locks."""

import json
from collections.abc import Iterable
from typing import Any

from orders_platform.local import jars

FORMAT = "1.5"


def bill_of_materials(version: str, packages: Iterable[str], jar_groups: Iterable[str]) -> bytes:
    """Return the bill of `packages` (NAME==VERSION) and of the locked jars of `jar_groups`.

    It names no place that anything came from, and no time.

    Raises:
        MissingDependency: the lock of the jars can't be read, or does not know a group.
    """
    libraries = [_python(*one.split("==")) for one in sorted(set(packages))]
    libraries += [_jar(jar) for group in jar_groups for jar in jars.locked(group)]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": FORMAT,
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "orders-platform", "version": version}},
        "components": libraries,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _python(name: str, version: str) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}


def _jar(jar: jars.Jar) -> dict[str, Any]:
    kind = f"?classifier={jar.classifier}" if jar.classifier else ""
    return {
        "type": "library",
        "group": jar.organisation,
        "name": jar.name,
        "version": jar.revision,
        "purl": f"pkg:maven/{jar.organisation}/{jar.name}@{jar.revision}{kind}",
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
    }
