"""The home's folders, lock and ports."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orders_platform.errors import StackError
from orders_platform.local import home as homes


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_home_that_can_not_be_made_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"can't be written.*ORDERS_HOME"):
        homes.prepare(tmp_path / "file" / "home")


def test_a_read_only_home_ends_in_a_sentence(tmp_path: Path) -> None:
    """Root may write where rights forbid it, so another user tries."""
    home = tmp_path / "home"
    homes.prepare(home)
    for folder in (home / "run", home / "logs", home):
        folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path(parent.anchor):
            parent.chmod(parent.stat().st_mode | 0o055)
    program = (
        "import os\nfrom pathlib import Path\nfrom orders_platform.local.home import prepare\n"
        f"os.geteuid() or os.setuid(65534)\nprepare(Path({str(home)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert "StackError" in done.stderr
    assert "can't be written: Permission denied" in done.stderr


def test_the_lock_keeps_a_second_one_out_and_names_its_holder(tmp_path: Path) -> None:
    with homes.locked(tmp_path), pytest.raises(StackError, match=str(os.getpid())), homes.locked(tmp_path, timeout_s=0):
        pass
    with homes.locked(tmp_path, timeout_s=0):
        pass


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from orders_platform.local.home import locked\n"
        f"with locked(Path({str(tmp_path)!r})): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    with homes.locked(tmp_path, timeout_s=0):
        pass


def test_a_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    homes.prepare(tmp_path)
    port = homes.Ports(tmp_path).take("kafka")
    assert homes.Ports(tmp_path).take("kafka") == port
    assert homes.Ports(tmp_path).take("mongo") != port


def test_another_port_is_chosen_when_the_recorded_one_is_taken(tmp_path: Path, listening: int) -> None:
    homes.prepare(tmp_path)
    (tmp_path / "run" / "ports.json").write_text(f'{{"kafka": {listening}}}')
    port = homes.Ports(tmp_path).take("kafka")
    assert port != listening
    assert homes.Ports(tmp_path).recorded() == {"kafka": port}


def test_a_port_that_was_set_and_is_taken_is_an_error(tmp_path: Path, listening: int) -> None:
    homes.prepare(tmp_path)
    with pytest.raises(StackError, match=f"Port {listening}.*ORDERS_LOCAL__KAFKA_PORT"):
        homes.Ports(tmp_path).take("kafka", listening)


def test_a_damaged_record_of_ports_is_begun_anew(tmp_path: Path) -> None:
    homes.prepare(tmp_path)
    (tmp_path / "run" / "ports.json").write_text('{"kafka":')
    assert homes.Ports(tmp_path).take("kafka") > 0
