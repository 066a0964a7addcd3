"""`orders fold`, `export`, `trace` and `watch`: what they print, and what they do with input that is not right."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from orders_platform.cli.fold import Gathered, gather
from orders_platform.cli.main import cli
from orders_platform.errors import FatalStoreError
from orders_platform.events import Event, decode
from orders_platform.matching import MAX_EVENTS, Rules
from orders_platform.store import dead_letters, matcher_records, schema
from orders_platform.store.client import Store, connect
from orders_platform.store.dead_letters import DeadLetter
from orders_platform.store.merge import Arrival, Change, merge
from orders_platform.times import format_ms
from orders_platform_tests import adversary, matcher_words, oracle
from orders_platform_tests.adversary import DEADLINE_MS, OPENING_MS

RULES = Rules()
FOLD_KEYS = [
    *("order_id", "status", "outcome", "reasons", "currency", "due_minor", "captured_minor", "refunded_minor"),
    *("charged_back_minor", "net_minor", "deadline_at", "cancelled_at", "settled_at", "event_count"),
]


def invoke(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def event(kind: str, order_id: str, **fields: Any) -> bytes:
    made = {"event_id": f"{order_id}-{kind}", "type": kind, "order_id": order_id, "occurred_at": OPENING_MS}
    return json.dumps(made | fields).encode()


def placed(order_id: str, **fields: Any) -> bytes:
    return event("order_placed", order_id, **({"amount_minor": 100, "currency": "EUR"} | fields))


def paid(order_id: str, **fields: Any) -> bytes:
    return event("payment_captured", order_id, **({"amount_minor": 100, "currency": "EUR", "payment_id": "p"} | fields))


# fold


def test_fold_prints_documents_sorted_and_rejections_apart() -> None:
    lines = [placed("b"), b"{", b"", paid("b"), placed("a"), placed("c", amount_minor=-1)]
    done = invoke("fold", "-", stdin=b"\n".join(lines))
    assert done.exit_code == 3
    documents = json_lines(done.stdout)
    assert [(each["order_id"], each["status"]) for each in documents] == [("a", "awaiting_payment"), ("b", "matched")]
    assert [list(each) for each in documents] == [FOLD_KEYS] * 2
    assert json_lines(done.stderr) == [
        {"line": 2, "reason": "not_json", "field": None},
        {"line": 6, "reason": "bad_amount", "field": "amount_minor"},
    ]


def test_fold_takes_clock_tolerance_and_window_from_options() -> None:
    stdin = placed("a") + b"\n" + paid("a", amount_minor=98) + b"\n"

    def status(*options: str) -> str:
        done = invoke("fold", *options, "-", stdin=stdin)
        assert done.exit_code == 0
        return json.loads(done.stdout)["status"]

    assert status() == "partially_paid"
    assert status("--now", "2026-01-05T10:30:00Z") == "partially_paid"
    assert status("--now", "2026-01-05T11:30:00.001+01:00") == "underpaid"
    assert status("--now", "2026-01-05T10:30:00.001Z", "--payment-window", "31m") == "partially_paid"
    assert status("--tolerance", "1") == "partially_paid"
    assert status("--tolerance", "2") == "matched"


def test_fold_heeds_settings_and_options_beat_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_MATCHING__TOLERANCE_MINOR", "2")
    stdin = placed("a") + b"\n" + paid("a", amount_minor=98)
    assert json.loads(invoke("fold", "-", stdin=stdin).stdout)["status"] == "matched"
    assert json.loads(invoke("fold", "--tolerance", "0", "-", stdin=stdin).stdout)["status"] == "partially_paid"


def test_fold_keeps_500_contents_and_flags_the_rest() -> None:
    lines = [event("payment_failed", "a", event_id=f"e{number}", payment_id="p") for number in range(MAX_EVENTS + 2)]
    done = invoke("fold", "-", stdin=b"\n".join([*lines, lines[0], lines[-1]]))
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert (document["event_count"], document["reasons"], document["outcome"]) == (MAX_EVENTS, ["overflow"], "break")
    rejected = json_lines(done.stderr)
    assert [each["line"] for each in rejected] == [MAX_EVENTS + 1, MAX_EVENTS + 2, MAX_EVENTS + 4]
    assert {each["reason"] for each in rejected} == {"too_many_events"}


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 22])
def test_fold_reads_in_any_portions(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("orders_platform.cli.fold._CHUNK_BYTES", chunk)
    lines = [placed("a"), b"", b"no", paid("a"), b" \t\r", placed("b")]
    for end in (b"", b"\n"):
        *rejections, gathered = gather(io.BytesIO(b"\n".join(lines) + end))
        assert isinstance(gathered, Gathered)
        assert {order_id: len(events) for order_id, events in gathered.orders.items()} == {"a": 2, "b": 1}
        assert [each.line for part in rejections if isinstance(part, list) for each in part] == [3]


def test_fold_of_nothing_is_nothing() -> None:
    assert (invoke("fold", "-").exit_code, invoke("fold", "-").output) == (0, "")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fold_equals_the_oracle(seed: int) -> None:
    lines = adversary.lines(Random(seed), 3000, 300, hot_orders=1)
    clock_ms = DEADLINE_MS + 1
    done = invoke("fold", "--now", format_ms(clock_ms), "--tolerance", "1", "-", stdin=b"\n".join(lines) + b"\n")
    documents, rejections = oracle.fold_lines(lines, clock_ms, 1)
    assert json_lines(done.stdout) == documents
    assert json_lines(done.stderr) == rejections
    assert rejections


@pytest.mark.parametrize(
    "arguments",
    [
        ["--now", "yesterday", "-"],
        ["--now", "2026-01-05T10:00:00", "-"],
        ["--payment-window", "30", "-"],
        ["--tolerance", "-1", "-"],
        ["--tolerance", "1.5", "-"],
        ["/nowhere/at/all"],
        [],
    ],
)
def test_fold_called_wrongly_is_status_2(arguments: list[str]) -> None:
    done = invoke("fold", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error: " in done.stderr


# export, trace, watch: on a real MongoDB


@pytest.fixture
def store(database: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A migrated store that the settings point to."""
    uri, name = database
    monkeypatch.setenv("ORDERS_MONGO__URI", uri)
    monkeypatch.setenv("ORDERS_MONGO__DATABASE", name)
    store = connect(uri, name)
    schema.migrate(store)
    yield store
    store.close()


def deliver(store: Store, *messages: bytes, clock_ms: int = OPENING_MS) -> None:
    arrivals: dict[str, list[Arrival]] = {}
    for offset, message in enumerate(messages):
        read = decode(message)
        assert isinstance(read, Event)
        arrivals.setdefault(read.order_id, []).append(Arrival(read, "payments", 1, offset))
    merge(store, [Change(order_id, None, its) for order_id, its in arrivals.items()], clock_ms, RULES)


SOME = [
    placed("b"),
    paid("b"),
    placed("a", occurred_at=oracle.LAST_MS),
    paid("c", amount_minor=10**15),
    event("refund_issued", "c", amount_minor=1, currency="EUR", refund_id="r"),
]


@pytest.mark.services
def test_export_prints_what_fold_prints(store: Store) -> None:
    deliver(store, *SOME, clock_ms=DEADLINE_MS + 1)
    exported = invoke("export")
    assert exported.exit_code == 0
    folded = invoke("fold", "--now", format_ms(DEADLINE_MS + 1), "-", stdin=b"\n".join(SOME))
    assert exported.stdout == folded.stdout
    assert '"deadline_at":"+10000-01-01T00:29:59.999Z"' in exported.stdout


@pytest.mark.services
def test_export_as_csv(store: Store, tmp_path: Path) -> None:
    deliver(store, *SOME, event("chargeback_opened", "c", amount_minor=2, currency="EUR", chargeback_id="k"))
    printed = invoke("export", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert list(rows[0]) == FOLD_KEYS
    assert [row["order_id"] for row in rows] == ["a", "b", "c"]
    assert (rows[0]["cancelled_at"], rows[2]["due_minor"], rows[2]["net_minor"]) == ("", "", str(10**15 - 3))
    expected = json_lines(invoke("export").stdout)
    assert rows[2]["reasons"] == "|".join(expected[2]["reasons"]) == "refund_and_chargeback"
    done = invoke("export", "--format", "csv", "-o", str(tmp_path / "orders.csv"))
    assert "3 rows" in done.stderr
    assert (done.stdout, (tmp_path / "orders.csv").read_text()) == ("", printed)


@pytest.mark.services
def test_export_as_parquet_has_types(store: Store, tmp_path: Path) -> None:
    deliver(store, *SOME)
    place = tmp_path / "orders.parquet"
    assert invoke("export", "--format", "parquet", "-o", str(place)).exit_code == 0
    table = pq.read_table(place)
    assert table.column_names == FOLD_KEYS
    assert {str(table.schema.field(name).type) for name in FOLD_KEYS if name.endswith("_minor")} == {"int64"}
    assert str(table.schema.field("deadline_at").type) == "timestamp[ms, tz=UTC]"
    assert table.column("net_minor").to_pylist() == [0, 100, 10**15 - 1]
    assert table.column("settled_at").to_pylist() == [None, datetime.fromtimestamp(OPENING_MS / 1000, UTC), None]
    assert table.column("deadline_at").cast("int64").to_pylist()[0] == oracle.LAST_MS + RULES.payment_window_ms
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.services
def test_export_since_a_time(store: Store) -> None:
    deliver(store, placed("old"))
    (first,) = store.orders.find()
    deliver(store, placed("new"))
    since = format_ms(int(first["updated_at"]) + 1)
    ids = [each["order_id"] for each in json_lines(invoke("export", "--since", since).stdout)]
    assert ids == ["new"]
    assert len(json_lines(invoke("export", "--since", format_ms(int(first["updated_at"]))).stdout)) == 2


@pytest.mark.services
def test_export_of_dead_letters(store: Store) -> None:
    letters = [
        ("payments", 0, 10, "bad_id", "order_id"),
        ("payments", 0, 9, "not_json", None),
        ("orders", 1, 3, "bad_time", "occurred_at"),
    ]
    dead_letters.write(store, [DeadLetter(*letter, raw=b"raw \xff", broker_time_ms=None) for letter in letters])
    keys = ["topic", "partition", "offset", "reason", "field"]
    done = invoke("export", "--collection", "dead_letters")
    assert json_lines(done.stdout) == [dict(zip(keys, letter, strict=True)) for letter in sorted(letters, key=str_key)]
    as_csv = invoke("export", "--collection", "dead_letters", "--format", "csv").stdout.splitlines()
    assert as_csv == [
        ",".join(keys),
        "orders,1,3,bad_time,occurred_at",
        "payments,0,9,not_json,",
        "payments,0,10,bad_id,order_id",
    ]


@pytest.mark.services
def test_export_of_dead_letters_since_a_time(store: Store) -> None:
    dead_letters.write(store, [DeadLetter("orders", 0, 1, "not_json", None, raw=b"", broker_time_ms=None)])
    (first,) = store.dead_letters.find()
    for later_ms, count in ((0, 1), (1, 0)):
        since = format_ms(int(first["first_seen_at"]) + later_ms)
        assert len(json_lines(invoke("export", "--collection", "dead_letters", "--since", since).stdout)) == count


def str_key(letter: tuple[Any, ...]) -> tuple[str, int, int]:
    return letter[:3]


@pytest.mark.services
def test_export_of_an_empty_collection(store: Store, tmp_path: Path) -> None:
    assert invoke("export").stdout == ""
    assert invoke("export", "--format", "csv").stdout == ",".join(FOLD_KEYS) + "\n"
    place = tmp_path / "none.parquet"
    assert invoke("export", "--format", "parquet", "-o", str(place)).exit_code == 0
    assert pq.read_table(place).num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--format", "parquet"], "-o"),
        (["--format", "xml"], "xml"),
        (["--since", "now"], "now"),
    ],
)
def test_export_called_wrongly_is_status_2(arguments: list[str], word: str) -> None:
    done = invoke("export", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert word in done.stderr


@pytest.mark.services
def test_export_to_a_place_that_can_not_be_written(store: Store, tmp_path: Path) -> None:
    done = invoke("export", "-o", str(tmp_path / "none" / "x"))
    assert done.exit_code == 2
    assert "can't be written" in done.stderr


def test_without_mongodb_it_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORDERS_HOME", str(tmp_path))
    for arguments in (["export"], ["trace", "o"], ["watch"]):
        done = invoke(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "orders up" in done.stderr


@pytest.mark.services
def test_a_secret_uri_is_not_told_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_MONGO__URI", "mongodb://me:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    done = invoke("export")
    assert done.exit_code == 1
    assert "hunter2" not in done.output
    assert "Error: " in done.stderr


@pytest.mark.services
def test_trace_as_json(store: Store) -> None:
    deliver(store, paid("o", amount_minor=70), placed("o", customer_id="c", occurred_at=OPENING_MS - 5))
    traced = json.loads(invoke("trace", "o", "--json").stdout)
    assert traced["document"] == json.loads(invoke("export").stdout)
    assert (traced["version"], traced["customer_id"], traced["deadline_passed"]) == (1, "c", False)
    assert traced["clock"] == format_ms(OPENING_MS)
    first, second = traced["events"]
    assert first == {
        "event_id": "o-order_placed",
        "type": "order_placed",
        "amount_minor": 100,
        "currency": "EUR",
        "customer_id": "c",
        "occurred_at": format_ms(OPENING_MS - 5),
        "topic": "payments",
        "partition": 1,
        "offset": 1,
        "counts": True,
        "why": "says what is due: 100",
    }
    assert (second["payment_id"], second["offset"], second["why"]) == ("p", 0, "captures 70")
    assert [rule["holds"] for rule in traced["rules"]] == [False] * 8 + [True] + [None] * 2
    assert traced["settled_by"] == [
        {"what": "a payment of 30", "type": "payment_captured", "amount_minor": 30, "chargeback_id": None}
    ]
    assert traced["by_the_rules_of_now"] is None


@pytest.mark.services
def test_trace_for_a_person(store: Store) -> None:
    deliver(store, paid("o", amount_minor=70), placed("o"))
    done = invoke("trace", "o")
    assert done.exit_code == 0
    for words in ("partially_paid", "pending", "captures 70", "payments:1:0", "a payment of 30", "captured 70 is less"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.services
def test_trace_says_when_the_settings_have_changed_since(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(store, paid("o", amount_minor=99), placed("o"))
    monkeypatch.setenv("ORDERS_MATCHING__TOLERANCE_MINOR", "1")
    assert json.loads(invoke("trace", "o", "--json").stdout)["by_the_rules_of_now"]["status"] == "matched"
    assert "matched, ok, tolerance_used" in invoke("trace", "o").stderr


@pytest.mark.services
def test_trace_of_an_order_that_is_not_there(store: Store) -> None:
    done = invoke("trace", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "'nobody'" in done.stderr


@pytest.mark.services
def test_watch_draws_one_frame_without_a_terminal(store: Store) -> None:
    assert "No matcher has ever run" in invoke("watch").stdout
    deliver(store, placed("fine"), paid("fine"), paid("odd"), clock_ms=DEADLINE_MS + 1)
    dead_letters.write(store, [DeadLetter("orders", 0, 1, "not_json", None, b"", None)])
    beat(store, epoch=3, messages=50, behind=7)
    shown = invoke("watch").stdout
    for words in ("epoch 3", "behind 7", "messages since start 50", "matched", "orphan", "odd", "not_json"):
        assert words in shown


def beat(store: Store, *, epoch: int, messages: int, behind: int) -> None:
    if matcher_records.read_lease(store) is None:
        for expected in range(epoch):
            matcher_records.take_epoch(store, "test", 60, expected)
        matcher_words.begins(store, epoch)
    counts = {"messages": messages}
    matcher_records.record_batch(store, epoch, 1, {}, batch=counts, totals=counts, duration_ms=5)
    matcher_records.write_heartbeat(store, epoch, state="running", events_behind=behind)


@pytest.mark.services
def test_watch_draws_again_on_a_terminal_until_it_is_interrupted(store: Store) -> None:
    command = [sys.executable, "-m", "orders_platform.cli.main", "watch"]
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"}
    ) as it:
        os.close(terminal)
        seen = b""
        while b"No matcher" not in seen:
            seen += os.read(screen, 65536)
        deliver(store, paid("late-comer"), clock_ms=DEADLINE_MS + 1)
        while b"late-comer" not in seen:
            seen += os.read(screen, 65536)
        it.send_signal(signal.SIGINT)
        assert it.wait(timeout=30) == 0
    os.close(screen)


@pytest.mark.services
def test_watch_shows_the_rest_where_dead_letters_can_not_be_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_store: Store) -> dict[str, int]:
        raise FatalStoreError("MongoDB refused it.", "Look it up.")

    monkeypatch.setattr("orders_platform.store.queries.dead_letter_counts", fails)
    deliver(store, placed("fine"), paid("fine"))
    shown = " ".join(invoke("watch").stdout.split())
    assert "matched" in shown
    assert "Dead letters can't be counted. MongoDB refused it. Look it up." in shown
