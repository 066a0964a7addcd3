"""Java is found where it is, told too old, or missed in one sentence."""

from pathlib import Path

import pytest

from orders_platform.errors import MissingDependency
from orders_platform.local import java


def fake(folder: Path, version: str) -> Path:
    """A program that calls itself Java: other versions than the machine's are not at hand."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-21' >&2\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(java, "_PLACES", (str(tmp_path / "jvm"),))
    return tmp_path


def test_the_machines_java_is_new_enough() -> None:
    assert (java.java_version(java.find_java()) or 0) >= java.VERSION_MIN


@pytest.mark.usefixtures("bare")
def test_without_java_there_is_one_clear_sentence() -> None:
    with pytest.raises(MissingDependency, match=r"No Java 17.*openjdk-17-jre-headless"):
        java.ensure_java()


def test_java_home_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = fake(bare / "given", "21.0.2")
    fake(bare / "jvm" / "other", "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(bare / "given"))
    assert java.find_java() == given


def test_an_old_java_is_passed_over_and_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(bare / "old", "1.8.0_392")
    monkeypatch.setenv("JAVA_HOME", str(bare / "old"))
    with pytest.raises(MissingDependency, match="old/bin/java is version 8"):
        java.find_java()
    usual = fake(bare / "jvm" / "java-17", "17")
    assert java.find_java() == usual


def test_a_java_home_without_java_is_passed_over(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(bare / "gone"))
    usual = fake(bare / "jvm" / "java-21", "21-ea")
    assert java.find_java() == usual
    assert java.java_home(usual) == bare / "jvm" / "java-21"
