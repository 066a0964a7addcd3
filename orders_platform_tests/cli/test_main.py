"""The command line as a whole: start-up, errors as sentences, exit statuses, help, completion."""

import errno
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from orders_platform import __version__
from orders_platform.cli import main
from orders_platform.cli.main import COMMANDS, cli
from orders_platform.errors import ServiceUnavailable, UsageError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pyspark", "dagster", "pymongo", "bson", "confluent_kafka", "pandas", "numpy", "pyarrow")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> click.Command:
    """A command that raises what the test puts into `failing.error`, in the place of `orders doctor`."""
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path / "home"))

    @click.command("doctor")
    def doctor() -> None:
        raise vars(doctor)["error"]

    module = type("module", (), {"commands": [doctor]})
    monkeypatch.setattr(main.importlib, "import_module", lambda name: module)
    return doctor


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def python(arguments: Sequence[str], **environ: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERS_")} | environ
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_map_says(name: str) -> None:
    assert importlib.util.find_spec(f"orders_platform.cli.{COMMANDS[name][0]}") is not None
    done = invoke(name, "--help")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"Usage: orders {name}")


def test_no_module_holds_a_command_that_the_map_leaves_out() -> None:
    for module in {module for module, _ in COMMANDS.values()}:
        exported = importlib.import_module(f"orders_platform.cli.{module}").commands
        assert {command.name for command in exported} == {name for name in COMMANDS if COMMANDS[name][0] == module}


def test_help_lists_every_command_without_importing_one() -> None:
    done = python(["-X", "importtime", "-m", "orders_platform.cli.main", "--help"])
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in done.stdout.decode()
    imported = done.stderr.decode()
    assert "orders_platform.cli.stack" not in imported
    assert "orders_platform.settings" not in imported


def test_fold_starts_without_the_clients_and_engines(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_bytes(b"")
    done = python(["-X", "importtime", "-m", "orders_platform.cli.main", "fold", str(events)])
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "orders_platform.matching" in imported
    assert not imported.intersection(HEAVY)
    assert not imported.intersection({"pydantic", "rich"})


def test_fold_starts_fast(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_bytes(b"")

    def start_s(arguments: list[str]) -> float:
        began = time.monotonic()
        assert python(arguments).returncode == 0
        return time.monotonic() - began

    # Beside what nobody can do without, in turns: so a slow or busy machine says the same as an idle one.
    rounds = [
        (
            start_s(["-c", "import click, msgspec, json, hashlib"]),
            start_s(["-m", "orders_platform.cli.main", "fold", str(events)]),
        )
        for _ in range(5)
    ]
    least_s, ours_s = (min(times) for times in zip(*rounds, strict=True))
    assert ours_s < 2.5 * least_s


def test_an_error_is_two_sentences_and_its_status(failing: click.Command) -> None:
    vars(failing)["error"] = ServiceUnavailable("Kafka does not answer.", "Run `orders up`.")
    done = invoke("doctor")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: Kafka does not answer.\nRun `orders up`.\n"
    vars(failing)["error"] = UsageError("That is wrong.", "Do it right.")
    assert invoke("doctor").exit_code == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_is_one_line_and_130(failing: click.Command, error: BaseException) -> None:
    vars(failing)["error"] = error
    done = invoke("doctor")
    assert done.exit_code == 130
    assert done.stderr.strip() == "Interrupted."


def test_an_interrupt_that_a_library_turned_into_its_own_error_is_one_still(failing: click.Command) -> None:
    def doctor() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("returned NULL without setting an exception") from None

    failing.callback = doctor
    done = invoke("doctor")
    assert (done.exit_code, done.stderr) == (130, "Interrupted.\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_defect_is_one_sentence_and_a_file(failing: click.Command, tmp_path: Path) -> None:
    vars(failing)["error"] = ValueError("mongodb://me:hunter2@host/ is odd")
    done = invoke("doctor")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    (report,) = (tmp_path / "home" / "logs").iterdir()
    assert str(report) in done.stderr
    assert "ValueError: mongodb://***@host/ is odd" in report.read_text()
    assert "hunter2" not in report.read_text() + done.output
    assert report.stat().st_mode & 0o077 == 0


def test_a_defect_is_told_even_if_the_home_can_not_be_written(
    failing: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    vars(failing)["error"] = ValueError("odd")
    assert str(tmp_path / "elsewhere") in invoke("doctor").stderr
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert "could not be written" in invoke("doctor").stderr


def test_a_full_disk_is_no_defect(failing: click.Command) -> None:
    vars(failing)["error"] = OSError(errno.ENOSPC, "No space left on device", "/some/file")
    done = invoke("doctor")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: The system refused: No space left on device (/some/file).\nFree")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_result_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b'{"event_id":"e","type":"order_cancelled","order_id":"o","occurred_at":0}')
    command = [sys.executable, "-m", "orders_platform.cli.main", "fold", str(tmp_path / "events")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_debugging_shows_the_traceback(failing: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_DEBUG", "1")
    vars(failing)["error"] = ValueError("odd")
    assert isinstance(invoke("doctor").exception, ValueError)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_a_command_may_return_its_status(failing: click.Command, returned: int | None, status: int) -> None:
    failing.callback = lambda: returned
    assert invoke("doctor").exit_code == status


def test_a_wrong_command_names_the_nearest() -> None:
    done = invoke("sed")
    assert done.exit_code == 2
    assert "Did you mean `orders seed`?" in done.stderr
    assert "orders --help" in invoke("qqqqqq").stderr


def test_a_wrong_option_is_status_2() -> None:
    done = invoke("fold", "--tolerance", "-1", "-")
    assert done.exit_code == 2
    assert "--tolerance" in done.stderr


def test_a_wrong_setting_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_MATCHER__BUCKET", "2")
    for arguments in (["config"], ["fold", os.devnull], ["status"]):
        done = invoke(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Did you mean ORDERS_MATCHER__BUCKETS?" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, unbuffered: str) -> None:
    event = b'{"event_id":"%d","type":"order_cancelled","order_id":"%d","occurred_at":0}\n'
    (tmp_path / "events").write_bytes(b"".join(event % (number, number) for number in range(5000)))
    command = [sys.executable, "-m", "orders_platform.cli.main", "fold", str(tmp_path / "events")]
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    writing = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert writing.stdout is not None
    assert writing.stderr is not None
    with writing.stdout, writing.stderr:
        assert writing.stdout.read(10) == b'{"order_id'
        writing.stdout.close()
        assert writing.stderr.read() == b""
        assert writing.wait(timeout=60) == main.BROKEN_PIPE


def test_the_version_is_the_changelogs() -> None:
    assert invoke("--version").stdout == f"orders {__version__}\n"
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = [line.split()[1] for line in changelog.splitlines() if line.startswith("## ")]
    assert headings[headings[0] == "Unreleased"] == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_back(shell: str) -> None:
    done = invoke("completion", shell)
    assert done.exit_code == 0
    assert f"_ORDERS_COMPLETE={shell}_complete" in done.stdout


def test_completion_completes() -> None:
    environ = {"_ORDERS_COMPLETE": "bash_complete", "COMP_WORDS": "orders de", "COMP_CWORD": "1"}
    done = python(["-c", "from orders_platform.cli.main import run; run()"], **environ)
    assert done.stdout.split() == [b"plain,demo", b"plain,dead-letters", b"plain,deploy"]
