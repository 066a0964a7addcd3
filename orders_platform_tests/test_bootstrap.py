"""The set-up: real environments from small locks, interrupted, at once, with a wrong hash; and the launcher."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from orders_platform import bootstrap

ROOT = Path(__file__).parents[1]


def pin(folder: Path, name: str) -> str:
    """Make a package of one module, so that no index is asked, and return the line that pins it."""
    files = {
        f"{name}.py": "VALUE = 17\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            rows.append(f"{inside},sha256={digest},{len(text)}")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "\n".join([*rows, ""]))
    return f"{name} @ {path.as_uri()} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    folder = tmp_path / "locks"
    folder.mkdir()
    shutil.copy(ROOT / "locks" / "uv.txt", folder)
    (folder / "build.txt").write_text("")
    (folder / "python.txt").write_text(pin(tmp_path, "pinned_thing"))
    return folder


def value_in(environment: Path) -> str:
    program = [environment / "bin" / "python", "-c", "import pinned_thing; print(pinned_thing.VALUE)"]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()


def program_that_ensures(environment: Path, locks: Path) -> str:
    arguments = f"Path({str(environment)!r}), Path({str(locks / 'python.txt')!r}), 's'"
    return f"from pathlib import Path; from orders_platform import bootstrap; bootstrap.ensure({arguments})"


def test_an_environment_is_made_once(tmp_path: Path, locks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environment = tmp_path / "venv"
    bootstrap.ensure(environment, locks / "python.txt", "stamp 1")
    assert value_in(environment) == "17"
    assert capfd.readouterr().out == ""
    bootstrap.ensure(environment, locks / "python.txt", "stamp 1")
    assert capfd.readouterr().err == ""


def test_what_is_no_longer_pinned_goes_with_a_new_stamp(tmp_path: Path, locks: Path) -> None:
    environment, lock = tmp_path / "venv", locks / "python.txt"
    kept = lock.read_text()
    lock.write_text(kept + pin(tmp_path, "passing_thing"))
    bootstrap.ensure(environment, lock, "stamp 1")
    assert list(environment.rglob("passing_thing.py"))
    lock.write_text(kept)
    bootstrap.ensure(environment, lock, "stamp 2")
    assert not list(environment.rglob("passing_thing.py"))
    assert value_in(environment) == "17"


def test_pip_does_it_where_uv_can_not_be_had(tmp_path: Path, locks: Path) -> None:
    environment = tmp_path / "venv"
    bootstrap._install_with_pip(sys.executable, environment, locks / "build.txt", locks / "python.txt", None)
    assert value_in(environment) == "17"


def test_a_set_up_that_was_killed_is_taken_up_again(tmp_path: Path, locks: Path) -> None:
    environment = tmp_path / "venv"
    program = program_that_ensures(environment, locks)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL) as first:
        while first.poll() is None and not (environment / "bin").exists():
            time.sleep(0.002)
        first.kill()
    shutil.rmtree(environment / "bin", ignore_errors=True)
    bootstrap.ensure(environment, locks / "python.txt", "s")
    assert value_in(environment) == "17"


def test_a_broken_environment_is_made_anew(tmp_path: Path, locks: Path) -> None:
    environment = tmp_path / "venv"
    bootstrap.ensure(environment, locks / "python.txt", "s")
    python = environment / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    bootstrap.ensure(environment, locks / "python.txt", "s")
    assert value_in(environment) == "17"


def test_two_at_once_make_one_environment(tmp_path: Path, locks: Path) -> None:
    environment = tmp_path / "venv"
    program = program_that_ensures(environment, locks)
    both = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum("Setting up" in text for text in said) == 1
    assert value_in(environment) == "17"


def test_a_wrong_hash_installs_nothing(tmp_path: Path, locks: Path) -> None:
    lock = locks / "python.txt"
    lock.write_text(lock.read_text().rpartition(":")[0] + ":" + "0" * 64 + "\n")
    with pytest.raises(bootstrap.SetUpError, match="could not be installed"):
        bootstrap.ensure(tmp_path / "venv", lock, "s")
    assert not (tmp_path / "venv" / bootstrap.STAMP).exists()


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A machine with a shell's tools and no Python."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cat", "cksum", "dirname", "readlink", "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    return {"PATH": str(tools)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The launcher in a repository of its own, without an environment."""
    root = tmp_path / "repository"
    (root / "locks").mkdir(parents=True)
    (root / "orders_platform").mkdir()
    for file in ("orders", "pyproject.toml", "locks/build.txt", "locks/python.txt", "orders_platform/bootstrap.py"):
        shutil.copy(ROOT / file, root / file)
    return root


def launch(repository: Path, machine: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [repository / "orders", "--version"]
    return subprocess.run(command, env=machine, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("old", [False, True])
def test_without_a_python_that_is_new_enough_the_launcher_says_one_line(
    repository: Path, machine: dict[str, str], old: bool
) -> None:
    if old:
        python = Path(machine["PATH"]) / "python3"
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    done = launch(repository, machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "orders: Python 3.11 or later was not found. Install it and put python3 on PATH.\n"


def test_a_repository_that_can_not_be_written_ends_in_one_line(repository: Path, machine: dict[str, str]) -> None:
    """Root may write anywhere but where a directory is in the way."""
    (Path(machine["PATH"]) / "python3").symlink_to(os.path.realpath(sys.executable))
    (repository / ".venv.lock").mkdir()
    done = launch(repository, machine)
    assert done.returncode == 1
    assert done.stderr.startswith("orders: ")
    assert "can't be made: Is a directory" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_launcher_finds_its_repository_through_links_and_runs_what_is_there(
    repository: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    """With a stamp that fits, neither Python nor a network is asked for; a changed lock makes it stale."""
    bin_folder = repository / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("orders", "python"):
        (bin_folder / name).write_text('#!/bin/sh\necho "ran $*"\n')
        (bin_folder / name).chmod(0o755)
    files = ("pyproject.toml", "locks/build.txt", "locks/python.txt")
    content = f"{repository}\n".encode() + b"".join((repository / file).read_bytes() for file in files)
    stamp = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout
    (repository / ".venv" / ".stamp").write_bytes(stamp)
    link = tmp_path / "somewhere" / "orders"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to("repository/orders")
    done = subprocess.run([link, "a b", "c"], env=machine, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ran a b c\n")
    (repository / "locks" / "python.txt").write_text("changed")
    assert "Python 3.11 or later was not found" in launch(repository, machine).stderr
