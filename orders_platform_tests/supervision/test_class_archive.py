"""The class archive: listed by one driver, made once by a real JVM, used by the next."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orders_platform.local import processes
from orders_platform.local.jars import cache_folder
from orders_platform.local.java import find_java, java_home
from orders_platform.supervision.backends import class_archive
from orders_platform.supervision.backends.class_archive import ClassArchive, stop_making


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ORDERS_CACHE", str(tmp_path / "cache"))
    cache_folder().mkdir(parents=True)
    made = tmp_path / "home"
    made.mkdir()
    yield made
    stop_making(made)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A living process that was given a class path, as a driver is."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", "-cp", str(tmp_path / "none.jar")]
    )
    yield process
    process.kill()
    process.wait()


def archive(home: Path, *jars: Path) -> ClassArchive:
    return ClassArchive(home, java_home(find_java()), jars)


def listed(home: Path) -> str:
    (option,) = archive(home).options()
    name, _, file = option.partition("=")
    assert name == "-XX:DumpLoadedClassList"
    subprocess.run([find_java(), option, "-version"], check=True, capture_output=True)
    assert Path(file).stat().st_size > 0
    return file


def test_it_is_made_once_and_used_from_then_on(
    home: Path, driver: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_archive, "_LIST_BYTES_MIN", 1)
    file = listed(home)
    assert archive(home).make(driver.pid)
    assert not archive(home).make(driver.pid), "it is being made"
    for _ in range(600):
        if processes.find(home, class_archive.NAME) is None:
            break
        time.sleep(0.1)
    (option,) = archive(home).options()
    assert option.startswith("-XX:SharedArchiveFile="), processes.log_tail(home, class_archive.NAME)
    assert not Path(file).exists()
    assert not archive(home).make(driver.pid), "it is there"
    path = psutil.Process(driver.pid).cmdline()[-1]
    # `on` refuses to start where the archive does not fit.
    subprocess.run([find_java(), "-Xshare:on", option, "-cp", path, "-version"], check=True, capture_output=True)


def test_a_driver_that_loaded_next_to_nothing_teaches_nothing(home: Path, driver: subprocess.Popen) -> None:
    assert not archive(home).make(driver.pid)
    listed(home)
    assert not archive(home).make(driver.pid)


def test_a_driver_that_is_gone_teaches_nothing(
    home: Path, driver: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_archive, "_LIST_BYTES_MIN", 1)
    listed(home)
    driver.kill()
    driver.wait()
    assert not archive(home).make(driver.pid)


def test_other_jars_have_another_archive_and_old_ones_make_room(
    home: Path, driver: subprocess.Popen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"1")
    before = archive(home, jar)._archive
    jar.write_bytes(b"22")
    assert archive(home, jar)._archive != before
    monkeypatch.setattr(class_archive, "_LIST_BYTES_MIN", 1)
    for age in range(5):
        old = cache_folder() / f"classes-{age}.jsa"
        old.touch()
    listed(home)
    assert archive(home).make(driver.pid)
    assert len(list(cache_folder().glob("classes-*.jsa"))) == 2
