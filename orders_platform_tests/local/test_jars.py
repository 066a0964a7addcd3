"""The jar cache: a full one needs no network, a damaged one is mended, an unpinned file is refused."""

import hashlib
import shutil
import socket
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orders_platform.errors import MissingDependency
from orders_platform.local import jars

GROUP = "spark-4.2.0"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the connector's jars, fetched and verified."""
    folder = tmp_path_factory.mktemp("full")
    for jar in jars.ensure(GROUP):
        shutil.copy(jar, folder)
    return folder


@pytest.fixture
def cache(full: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(full, tmp_path / "cache"))


@pytest.fixture
def repository(full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on the loopback interface, named by a user's Ivy settings file."""
    root = tmp_path / "repository"
    for jar in jars.locked(GROUP):
        place = root / jar.organisation.replace(".", "/") / jar.name / jar.revision
        place.mkdir(parents=True)
        shutil.copy(full / jar.file_name, place / f"{jar.name}-{jar.revision}.jar")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        _settings(tmp_path / "ivysettings.xml", server.server_port)
        monkeypatch.setenv("ORDERS_IVY_SETTINGS", str(tmp_path / "ivysettings.xml"))
        yield root
        server.shutdown()


def _settings(file: Path, port: int) -> None:
    file.write_text(
        '<ivysettings><settings defaultResolver="own"/><resolvers>'
        f'<ibiblio name="own" m2compatible="true" usepoms="false" root="http://127.0.0.1:{port}/" checksums=""/>'
        "</resolvers></ivysettings>"
    )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that nobody serves."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _settings(tmp_path / "ivysettings.xml", unused.getsockname()[1])
    monkeypatch.setenv("ORDERS_IVY_SETTINGS", str(tmp_path / "ivysettings.xml"))


def test_the_lock_is_whole() -> None:
    lock = tomllib.loads(jars.LOCK.read_text())
    assert set(lock) == {"broker", "spark-4.2.0", "spark-4.1.2", "spark-4.0.0", "image"}
    for group in lock:
        for jar in jars.locked(group):
            assert len(jar.sha256) == 64
            assert jar.revision[0].isdigit()
    assert "://" not in jars.LOCK.read_text()


@pytest.mark.usefixtures("offline")
def test_a_jar_with_a_classifier_is_fetched_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = jars.Jar("org.example", "thing", "1.0", hashlib.sha256(b"its bytes").hexdigest(), "shaded")
    root = tmp_path / "repository" / "org" / "example" / "thing" / "1.0"
    root.mkdir(parents=True)
    (root / "thing-1.0.jar").write_bytes(b"another")
    (root / "thing-1.0-shaded.jar").write_bytes(b"its bytes")
    (tmp_path / "jars.toml").write_text(f'[group]\n"org.example:thing:1.0:shaded" = "{jar.sha256}"\n')
    monkeypatch.setattr(jars, "LOCK", tmp_path / "jars.toml")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "repository")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        _settings(tmp_path / "ivysettings.xml", server.server_port)
        assert jars.ensure("group", cache=tmp_path / "cache") == [tmp_path / "cache" / jar.file_name]
        server.shutdown()
    assert jar.file_name == "org.example__thing-1.0-shaded.jar"


def test_the_connector_is_that_of_the_installed_spark() -> None:
    from importlib.metadata import version

    names = [jar.name for jar in jars.spark_connector_jars()]
    assert f"org.apache.spark__spark-sql-kafka-0-10_2.13-{version('pyspark')}.jar" in names


@pytest.mark.usefixtures("offline")
def test_a_full_cache_needs_no_network(cache: Path) -> None:
    assert all(jar.is_file() for jar in jars.ensure(GROUP, cache=cache))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut off", None])
def test_a_missing_or_damaged_jar_is_fetched_again(cache: Path, damage: bytes | None) -> None:
    first, *others = jars.locked(GROUP)
    victim = cache / first.file_name
    victim.unlink() if damage is None else victim.write_bytes(damage)
    untouched = {(cache / jar.file_name): (cache / jar.file_name).stat().st_ino for jar in others}
    told: list[tuple[str, int, int]] = []
    found = jars.ensure(GROUP, lambda what, done, total: told.append((what, done, total)), cache)
    assert found[0] == victim
    assert hashlib.sha256(victim.read_bytes()).hexdigest() == first.sha256
    assert {path: path.stat().st_ino for path in untouched} == untouched
    assert [done for _, done, _ in told] == [0, 1, 1]
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_not_kept(repository: Path, tmp_path: Path) -> None:
    next(repository.rglob("commons-pool2*.jar")).write_bytes(b"something else")
    with pytest.raises(MissingDependency, match=r"commons-pool2.*is not the one that was pinned"):
        jars.ensure(GROUP, cache=tmp_path / "empty")
    assert not list((tmp_path / "empty").glob("*commons-pool2*"))


@pytest.mark.usefixtures("offline")
def test_an_empty_cache_without_a_network_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match=r"could not be fetched.*Connect to the network"):
        jars.ensure(GROUP, cache=tmp_path / "empty")


def test_a_cache_that_can_not_be_made_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingDependency, match="ORDERS_CACHE"):
        jars.ensure(GROUP, cache=tmp_path / "file" / "jars")


def test_an_ivy_settings_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_IVY_SETTINGS", "/no/such/settings.xml")
    with pytest.raises(MissingDependency, match=r"/no/such/settings.xml"):
        jars.ensure(GROUP, cache=tmp_path / "empty")


def test_a_spark_without_a_lock_is_named() -> None:
    with pytest.raises(MissingDependency, match="spark-9"):
        jars.locked("spark-9.9.9")
