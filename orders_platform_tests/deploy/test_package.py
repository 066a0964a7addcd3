"""The artefact of an engine: the same bytes for the same commit, all that the engine imports, and nothing else."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from orders_platform.deploy import package as packaging_of_ours
from orders_platform.deploy.locked import Target, closure, read_lock
from orders_platform.deploy.package import ENGINE_BRINGS, Package, PackageError, engine_packages
from orders_platform.errors import MissingDependency
from orders_platform.supervision.backends import release as releases
from orders_platform_tests.deploy import packing
from orders_platform_tests.deploy.imports import third_party

LOCK = packing.ROOT / "locks" / "python.txt"


def test_the_same_commit_gives_the_same_bytes(package: Package, tmp_path: Path) -> None:
    elsewhere = packing.clone(tmp_path / "a longer name for a clone")
    (elsewhere / "orders_platform" / "__pycache__").mkdir()
    (elsewhere / "orders_platform" / "__pycache__" / "left.pyc").write_bytes(b"left")
    again = packing.build(elsewhere, tmp_path / "made", umask=0o077, TZ="Asia/Kathmandu", PYTHONHASHSEED="7")
    assert again.wheel.read_bytes() == package.wheel.read_bytes()
    assert again.dependencies.read_bytes() == package.dependencies.read_bytes()
    assert again.commit == package.commit
    for file, digest in ((again.wheel, again.wheel_sha256), (again.dependencies, again.dependencies_sha256)):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_a_later_commit_of_the_same_content_is_the_same_release(package: Package, tmp_path: Path) -> None:
    later = packing.clone(tmp_path / "clone")
    (later / "docs" / "more.md").write_text("# More\n")
    as_somebody = ["git", "-C", later, "-c", "user.name=n", "-c", "user.email=n@example.com"]
    subprocess.run(["git", "-C", later, "add", "docs"], check=True)
    subprocess.run(
        [*as_somebody, "commit", "-q", "-m", "More"],
        check=True,
        env={"GIT_COMMITTER_DATE": "2031-01-01T00:00Z", **os.environ},
    )
    again = packing.build(later, tmp_path / "made")
    assert again.commit != package.commit
    assert (again.wheel_sha256, again.dependencies_sha256) == (package.wheel_sha256, package.dependencies_sha256)


@pytest.mark.parametrize(
    "change", ["orders_platform/settings.py", "orders_platform/reports/more.css", "spark/session.py"]
)
def test_other_code_has_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    clone = packing.clone(tmp_path / "clone")
    monkeypatch.setattr(releases, "ROOT", clone)
    before = releases.release("gs://b")
    (clone / "spark" / "__pycache__").mkdir()
    (clone / "spark" / "__pycache__" / "left.pyc").write_bytes(b"left")
    assert releases.release("gs://b") == before
    with (clone / change).open("a") as file:
        file.write("\n")
    after = releases.release("gs://b")
    assert after.wheel != before.wheel
    assert after.dependencies == before.dependencies


def test_the_archive_holds_only_what_is_imported(package: Package) -> None:
    with tarfile.open(package.dependencies) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) for entry in entries} == {
        (0, 0, "", "", 0o644)
    }
    assert len({entry.mtime for entry in entries}) == 1
    assert all(entry.isfile() for entry in entries)
    tops = {name.partition("/")[0] for name in names}
    assert {"msgspec", "pymongo", "bson", "pydantic", "confluent_kafka", "psutil", "stamina", "google"} <= tops
    assert not tops & {"bin", "dagster", "click", "pytest", *ENGINE_BRINGS}
    assert not [name for name in names if name.endswith((".pyc", "/RECORD", "/INSTALLER"))]
    assert any("linux" in name and name.endswith(".so") for name in names)


def test_the_wheel_holds_the_code_of_the_commit_and_no_tests(package: Package) -> None:
    with zipfile.ZipFile(package.wheel) as wheel:
        names = wheel.namelist()
        driver = wheel.read("spark/matcher_job.py")
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"orders_platform", "spark", f"orders_platform-{package.version}.dist-info"}
    assert driver == subprocess.run(
        ["git", "-C", packing.ROOT, "show", "HEAD:spark/matcher_job.py"], capture_output=True, check=True
    ).stdout  # fmt: skip
    assert package.spark_name.endswith("-py3-none-any.zip")


def test_what_a_matcher_runs_has_one_version_wherever_it_lies(package: Package, tmp_path: Path) -> None:
    unpacked, zipped = tmp_path / "unpacked", tmp_path / package.spark_name
    zipped.write_bytes(package.wheel.read_bytes())
    with zipfile.ZipFile(package.wheel) as wheel:
        wheel.extractall(unpacked)
    ask = "import sys; sys.path.insert(0, sys.argv[1]); from orders_platform import version as v;"
    ask += "print(v.code_version(), v.__file__)"
    places = (unpacked, zipped, packing.clone(tmp_path / "clone"))
    said = [
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", ask, place], cwd=tmp_path, capture_output=True, check=True, text=True
        ).stdout.split()
        for place in places
    ]
    assert len({code for code, _ in said}) == 1
    assert all(Path(file).is_relative_to(place) for (_, file), place in zip(said, places, strict=True))


def test_all_that_the_engine_imports_is_packed_or_brought_by_it() -> None:
    jobs = [f"spark.{file.stem}" for file in (packing.ROOT / "spark").glob("*.py")]
    packed = {one.name for one in engine_packages(LOCK, Target(packing.PYTHON))} | set(ENGINE_BRINGS) | {"py4j"}
    distributions = metadata.packages_distributions()
    wanting = {
        f"{module}, imported by {importer}"
        for module, importer in third_party(jobs, packing.ROOT).items()
        if (top := module.partition(".")[0]) not in sys.stdlib_module_names
        and not {canonicalize_name(name) for name in distributions.get(top, [top])} & packed
    }
    assert not wanting


def test_what_differs_between_pythons_is_taken_for_the_target() -> None:
    assert read_lock(LOCK, Target("3.11"))["numpy"].version != read_lock(LOCK, Target("3.12"))["numpy"].version
    assert "colorama" not in read_lock(LOCK, Target("3.12"))


def test_a_closure_follows_extras_and_leaves_out_what_it_is_told() -> None:
    target = Target(packing.PYTHON)
    locked = read_lock(LOCK, target)
    plain = {one.name for one in closure(["dagster-gcp"], locked, target, without=["dagster"])}
    extra = {one.name for one in closure(["dagster-gcp[dataproc]"], locked, target, without=["dagster"])}
    assert "google-cloud-dataproc" in extra - plain
    assert not {"dagster", "sqlalchemy"} & extra
    with pytest.raises(MissingDependency, match="no msgspec"):
        closure(["msgspec"], {}, target)


@pytest.mark.parametrize("change", ["spark/source.py", "orders_platform/forgotten.py"])
def test_what_no_commit_holds_is_named_and_refused(tmp_path: Path, change: str) -> None:
    repository = packing.clone(tmp_path / "clone")
    with (repository / change).open("a") as file:
        file.write("# more\n")
    with pytest.raises(PackageError, match=rf"No commit holds what is in {change}\. Commit it"):
        packaging_of_ours.build(repository, tmp_path / "made")


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no checkout"):
        packaging_of_ours.build(tmp_path, tmp_path / "made")


def test_a_package_that_is_not_the_pinned_one_is_refused(package: Package, tmp_path: Path) -> None:
    del package
    target = Target(packing.PYTHON)
    other = [one for one in engine_packages(LOCK, target) if one.name == "annotated-types"]
    wrong = [type(one)(one.name, one.version, ("0" * 64,)) for one in other]
    with pytest.raises(PackageError, match="could not be fetched"):
        packaging_of_ours.fetch(wrong, target, tmp_path / "packages", packing.ROOT / "locks" / "uv.txt")
