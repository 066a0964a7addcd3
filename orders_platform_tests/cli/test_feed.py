"""seed, publish, wait, replay and dead-letters as a user runs them, against the real broker and mongod."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from orders_platform.cli.main import cli
from orders_platform.matcher.replaying import Replayed
from orders_platform.matcher.replaying import replay as put_through
from orders_platform.matching import Rules
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store import schema
from orders_platform.store.client import Store, connect
from orders_platform.streams.offsets import Positions, begin_offsets, end_offsets
from orders_platform.streams.read import Record, read_range
from orders_platform_tests import matcher_words
from orders_platform_tests.conftest import RunningStack
from orders_platform_tests.poison import POISON, POISON_LINES

COMMAND = [sys.executable, "-c", "from orders_platform.cli.main import run; run()"]
ORDER = {
    "event_id": "e1",
    "type": "order_placed",
    "order_id": "o-1",
    "occurred_at": "2026-01-05T10:00:00Z",
    "amount_minor": 100,
    "currency": "EUR",
}
PAYMENT = {**ORDER, "event_id": "e2", "type": "payment_captured", "payment_id": "p1"}
REFUND = {**ORDER, "event_id": "e3", "type": "refund_issued", "refund_id": "r1"}

pytestmark = pytest.mark.services


class Done(NamedTuple):
    status: int
    output: bytes
    said: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Shop:
    """One user's platform: three topics and a database of their own."""

    def __init__(
        self, stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], home: Path
    ) -> None:
        self.at = stack.bootstrap_servers
        self.topics = topics
        self.store: Store = connect(*database)
        schema.migrate(self.store)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDERS_")} | {
            "ORDERS_HOME": str(home),
            "ORDERS_KAFKA__BOOTSTRAP_SERVERS": self.at,
            "ORDERS_KAFKA__ORDERS_TOPIC": topics[0],
            "ORDERS_KAFKA__PAYMENTS_TOPIC": topics[1],
            "ORDERS_KAFKA__ADJUSTMENTS_TOPIC": topics[2],
            "ORDERS_MONGO__URI": database[0],
            "ORDERS_MONGO__DATABASE": database[1],
            "NO_COLOR": "1",
        }

    def orders(self, *arguments: str | Path, given: bytes = b"", settings: Mapping[str, str] | None = None) -> Done:
        """Run a command in this process, as starting one costs more than most of them take."""
        stdin, stdout, stderr = (io.TextIOWrapper(io.BytesIO(data)) for data in (given, b"", b""))
        environment = self.environment | dict(settings or {})
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.object(sys, "stdin", stdin),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as ended,
        ):
            cli.main(list(map(str, arguments)))
        written = []
        for stream in (stdout, stderr):
            stream.flush()
            written.append(stream.buffer.getvalue())  # type: ignore[attr-defined]
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, written[0], written[1].decode())

    def ends(self) -> Positions:
        return end_offsets(self.at, {}, self.topics)

    def lie_in(self, topic: str) -> list[Record]:
        begins = begin_offsets(self.at, {}, [topic])
        return [r for batch in read_range(self.at, {}, begins, end_offsets(self.at, {}, [topic])) for r in batch]

    def match_everything(self) -> Replayed:
        done = Replayed()
        for topic in self.topics:
            put_through(self.store, self.lie_in(topic), Rules(), done)
        return done

    def commit(self, epoch: int, offsets: Positions) -> None:
        """Record a batch up to these offsets, as a matcher does."""
        said = matcher_words.as_offsets(offsets)
        records.record_batch(self.store, epoch, 1, said, batch={}, totals={}, duration_ms=1)

    def begin_matcher(self) -> int:
        """Take the lease and write a first heartbeat, as a matcher does."""
        epoch = records.take_epoch(self.store, "a-test", 60.0, expected=0)
        matcher_words.begins(self.store, epoch)
        return epoch


@pytest.fixture
def shop(
    stack: RunningStack, database: tuple[str, str], topics: tuple[str, str, str], tmp_path: Path
) -> Iterator[Shop]:
    it = Shop(stack, database, topics, tmp_path / "home")
    yield it
    it.store.close()


def lines(*contents: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(content).encode() + b"\n" for content in contents)


# --- seed


def test_seed_publishes_what_its_truth_says(shop: Shop, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    told = shop.orders("seed", "--orders", "400", "--poison", "10", "--seed", "7", "--truth", truth, "--json")
    assert told.status == 0, told.said
    result = told.json
    assert result["orders"] == 400
    assert sum(result["by_archetype"].values()) == 400
    assert (result["sent"], result["failed"]) == (result["messages"], 0)
    assert sum(end for its in shop.ends().values() for end in its.values()) == result["messages"]
    done = shop.match_everything()
    assert done.dead_letters == result["poison"] == sum(result["dead_letters"].values())

    exported = shop.orders("export")
    assert exported.output == truth.read_bytes()
    letters = [json.loads(line) for line in shop.orders("export", "--collection", "dead_letters").output.splitlines()]
    reasons = [letter["reason"] for letter in letters]
    assert {reason: reasons.count(reason) for reason in reasons} == result["dead_letters"]


def test_seed_writes_a_file_that_folds_to_its_truth(shop: Shop, tmp_path: Path) -> None:
    events, truth = tmp_path / "events.jsonl", tmp_path / "truth.jsonl"
    settings = {"ORDERS_MATCHING__TOLERANCE_MINOR": "5", "ORDERS_MATCHING__PAYMENT_WINDOW": "2h"}
    told = shop.orders(
        "seed", "--orders", "500", "--output", events, "--truth", truth, "--poison", "8",
        "--never-paid", "20", "--json", settings=settings,
    )  # fmt: skip
    assert told.status == 0, told.said
    assert told.json["by_archetype"]["never_paid"] > 70
    assert told.json["left_out"] > 0
    assert told.json["messages"] - told.json["left_out"] == len(events.read_bytes().splitlines())
    folded = shop.orders("fold", "--now", told.json["holds_from"], events, settings=settings)
    assert folded.status == 3
    assert folded.output == truth.read_bytes()
    assert len(folded.said.splitlines()) == told.json["poison"] - told.json["left_out"]
    assert all(end == 0 for its in shop.ends().values() for end in its.values())


def test_seed_keeps_to_its_rate_and_says_so_for_people(shop: Shop) -> None:
    started_s = time.monotonic()
    told = shop.orders("seed", "--orders", "200", "--rate", "200")
    took_s = time.monotonic() - started_s
    messages = int(told.said.split()[1])
    assert told.status == 0
    assert told.output == b""
    assert messages / 200 < took_s < messages / 200 + 60


def test_seed_says_when_deadlines_are_still_open(shop: Shop) -> None:
    told = shop.orders("seed", "--orders", "20", "--start", "2090-01-01T00:00:00Z")
    assert told.status == 0
    assert "last deadline passes at 2090-01-" in told.said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--never-paid", "60", "--orphan", "60"], "add up to 120 %"),
        (["--rate", "5", "--output", "x"], "leave it out with --output"),
        (["--start", "yesterday"], "2026-01-05T10:00:00Z"),
        (["--within-tolerance", "5"], "Without a tolerance"),
        (["--orders", "0"], "not in the range"),
    ],
)
def test_seed_refuses_what_makes_no_sense(shop: Shop, options: list[str], sentence: str) -> None:
    told = shop.orders("seed", *options)
    assert told.status == 2
    assert sentence in told.said


def test_seed_that_fails_leaves_no_truth(shop: Shop, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text("what was there before\n")
    told = shop.orders("seed", "--truth", truth, settings={"ORDERS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert told.status == 1
    assert "Kafka at 127.0.0.1:1 does not answer." in told.said
    assert truth.read_text() == "what was there before\n"
    assert list(tmp_path.iterdir()) == [truth]
    nowhere = shop.orders("seed", "--truth", tmp_path / "missing" / "truth.jsonl")
    assert nowhere.status == 1
    assert "can't be written" in nowhere.said


def test_seed_can_be_interrupted(shop: Shop, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "seed", "--rate", "5", "--truth", str(tmp_path / "truth.jsonl")],
        env=shop.environment,
        stderr=subprocess.PIPE,
    )
    while sum(end for its in shop.ends().values() for end in its.values()) < 3:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.decode().lstrip() == "Interrupted.\n"
    assert not list(tmp_path.glob("*truth*"))


# --- publish


def test_publish_sends_events_to_the_topic_of_their_type(shop: Shop) -> None:
    won = {**ORDER, "event_id": "e4", "type": "chargeback_reversed", "chargeback_id": "c1"}
    cancelled = {**ORDER, "event_id": "e5", "type": "order_cancelled"}
    done = shop.orders("publish", "-", given=lines(ORDER, PAYMENT, REFUND, won, cancelled))
    assert done.status == 0, done.said
    assert done.json == {"sent": 5, "failed": 0}
    by_topic = [sorted(json.loads(r.value or b"")["event_id"] for r in shop.lie_in(topic)) for topic in shop.topics]
    assert by_topic == [["e1", "e5"], ["e2"], ["e3", "e4"]]
    assert {record.key for topic in shop.topics for record in shop.lie_in(topic)} == {b"o-1"}


def test_publish_refuses_what_is_no_event_and_sends_the_rest(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(ORDER) + b"nonsense\n" + lines({**PAYMENT, "currency": "eur"}) + lines(PAYMENT)[:-1])
    done = shop.orders("publish", file)
    assert done.status == 3
    assert done.json == {"sent": 2, "failed": 2}
    assert [json.loads(line) for line in done.said.splitlines()] == [
        {"line": 2, "reason": "not_json", "field": None},
        {"line": 3, "reason": "bad_currency", "field": "currency"},
    ]


def test_publish_refuses_every_poison_line_and_names_its_reason(shop: Shop) -> None:
    done = shop.orders("publish", "-", given=b"\n".join(poison.raw for poison in POISON_LINES))
    assert done.json == {"sent": 0, "failed": len(POISON_LINES)}
    assert [(json.loads(line)["reason"], json.loads(line)["field"]) for line in done.said.splitlines()] == [
        (poison.reason, poison.field) for poison in POISON_LINES
    ]


def test_publish_to_a_topic_sends_every_line_as_it_is(shop: Shop) -> None:
    given = [b"nonsense", b"", b"\xff\xfe", b"x" * 70_000, json.dumps(ORDER).encode() + b"\r", b"[1]"]
    done = shop.orders("publish", "--topic", shop.topics[1], "-", given=b"\n".join(given) + b"\n")
    assert done.status == 0, done.said
    assert done.json == {"sent": 6, "failed": 0}
    found = shop.lie_in(shop.topics[1])
    assert sorted(record.value or b"" for record in found) == sorted(given)
    assert {record.key for record in found if (record.value or b"").startswith(b"{")} == {b"o-1"}
    assert {record.key for record in found if not (record.value or b"").startswith(b"{")} == {None}


def test_publish_takes_a_message_of_exactly_the_largest_size(shop: Shop) -> None:
    padded = {**ORDER, "note": ""}
    padded["note"] = "x" * (65_536 - len(json.dumps(padded)))
    done = shop.orders("publish", "-", given=lines(padded))
    assert done.json == {"sent": 1, "failed": 0}
    assert shop.orders("publish", "-", given=lines({**padded, "note": f"{padded['note']}x"})).status == 3


def test_publish_to_a_topic_that_is_not_there(shop: Shop) -> None:
    done = shop.orders("publish", "--topic", f"{shop.topics[0]}s", "-", given=b"x\n")
    assert done.status == 2
    assert f"Did you mean {shop.topics[0]}" in done.said


def test_publish_says_what_the_broker_refused(shop: Shop) -> None:
    done = shop.orders("publish", "--topic", shop.topics[0], "-", given=b"x" * 3_000_000 + b"\nsmall\n")
    assert done.status == 1
    assert done.json == {"sent": 1, "failed": 1}
    assert "MSG_SIZE_TOO_LARGE" in done.said


def test_publish_of_nothing(shop: Shop) -> None:
    done = shop.orders("publish", "-")
    assert (done.status, done.json) == (0, {"sent": 0, "failed": 0})


# --- wait


def test_wait_returns_when_everything_published_before_is_committed(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER, PAYMENT, REFUND))
    epoch, ends = shop.begin_matcher(), shop.ends()
    committing = threading.Timer(4.0, shop.commit, (epoch, ends))
    committing.start()
    started_s = time.monotonic()
    done = shop.orders("wait", "--timeout", "60", "--json")
    committing.join()
    assert done.status == 0, done.said
    assert done.json["reached"] is True
    assert time.monotonic() - started_s > 3.5
    assert done.said == ""


def test_wait_does_not_wait_for_what_is_published_later(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER))
    shop.commit(shop.begin_matcher(), shop.ends())
    assert shop.orders("wait").status == 0
    shop.orders("publish", "-", given=lines(PAYMENT))
    late = shop.orders("wait", "--timeout", "0")
    assert late.status == 1
    assert f"1 messages are not matched yet ({shop.topics[1]}: 1)" in late.said


def test_wait_on_empty_topics_needs_no_matcher(shop: Shop) -> None:
    assert shop.orders("wait", "--timeout", "0").status == 0


def test_wait_gives_up_in_time_and_says_at_once_that_nobody_works(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER, PAYMENT))
    started_s = time.monotonic()
    done = shop.orders("wait", "--timeout", "2", "--json")
    assert 2 <= time.monotonic() - started_s < 60
    assert done.status == 1
    assert done.json["behind"] == {shop.topics[0]: 1, shop.topics[1]: 1}
    assert "No matcher has run yet" in done.said.splitlines()[0]


def test_wait_says_that_a_person_stopped_the_matcher(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER))
    shop.begin_matcher()
    records.set_desired(shop.store, state="stopped", reason="a test")
    done = shop.orders("wait", "--timeout", "1")
    assert "was stopped by a person: run `orders matcher start`" in done.said


def test_wait_without_mongodb(shop: Shop) -> None:
    started_s = time.monotonic()
    done = shop.orders("wait", "--timeout", "3", settings={"ORDERS_MONGO__URI": "mongodb://shop:hunter2@127.0.0.1:1/"})
    assert done.status == 1
    assert time.monotonic() - started_s < 60
    assert "hunter2" not in done.said


# --- replay


def test_replay_adds_what_is_missing_and_changes_nothing_else(shop: Shop) -> None:
    shop.orders("seed", "--orders", "200", "--poison", "5")
    first = shop.orders("replay", "--from", "earliest", "--json")
    assert first.status == 0, first.said
    assert first.json["inserted"] == 200
    assert first.json["messages"] == first.json["events"] + first.json["dead_letters"]
    exported, letters = shop.orders("export").output, shop.orders("dead-letters", "list", "--json").output
    versions = {found["_id"]: found["version"] for found in shop.store.orders.find()}

    again = shop.orders("replay", "--from", "earliest", "--json")
    assert (again.json["inserted"], again.json["updated"]) == (0, 0)
    assert again.json["messages"] == first.json["messages"]
    assert {found["_id"]: found["version"] for found in shop.store.orders.find()} == versions
    assert (shop.orders("export").output, shop.orders("dead-letters", "list", "--json").output) == (exported, letters)


def test_replay_takes_new_rules(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER, {**PAYMENT, "amount_minor": 97}))
    shop.match_everything()
    with mock.patch.dict(os.environ, shop.environment, clear=True):
        started_with = Settings.load().fingerprint()
    records.add_start(
        shop.store, records.Start(epoch=1, attempt=1, at_ms=1, reason="a test", settings_hash=started_with)
    )
    assert "other settings" not in shop.orders("replay", "--from", "earliest").said
    done = shop.orders("replay", "--from", "earliest", settings={"ORDERS_MATCHING__TOLERANCE_MINOR": "3"})
    assert json.loads(shop.orders("export").output)["status"] == "matched"
    assert "orders matcher restart" in done.said.splitlines()[0]


def test_replay_from_a_time_an_offset_or_of_one_topic(shop: Shop) -> None:
    shop.orders("publish", "-", given=lines(ORDER, PAYMENT))
    time.sleep(0.05)
    since = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{time.time_ns() // 1_000_000 % 1000:03d}Z"
    shop.orders("publish", "-", given=lines(REFUND))

    def replayed(*options: str) -> int:
        done = shop.orders("replay", "--json", *options)
        assert done.status == 0, done.said
        return done.json["messages"]

    assert replayed("--from", since) == 1
    assert replayed("--from", "earliest", "--topic", shop.topics[1]) == 1
    at = next(at for at, end in shop.ends()[shop.topics[0]].items() if end)
    assert replayed("--from", f"{shop.topics[0]}:{at}:0") == 1
    assert replayed("--from", f"{shop.topics[0]}:{at}:1") == 0
    assert replayed("--from", f"{shop.topics[0]}:{at}:1,{shop.topics[1]}:0:0,{shop.topics[1]}:1:0") == 1
    assert replayed("--from", "2090-01-01T00:00:00Z") == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from", "soon"], "neither `earliest`, nor a time, nor offsets"),
        (["--from", "2026-01-05"], "neither `earliest`, nor a time, nor offsets"),
        (["--from", "nowhere:0:5"], "no partition 0 of a topic nowhere"),
        (["--from", "earliest", "--topic", "nowhere"], "does not read the topic nowhere"),
        ([], "--from"),
    ],
)
def test_replay_refuses_what_makes_no_sense(shop: Shop, options: list[str], sentence: str) -> None:
    done = shop.orders("replay", *options)
    assert done.status == 2
    assert sentence in done.said


# --- dead-letters


def test_dead_letters_are_listed_without_what_they_hold(shop: Shop) -> None:
    bad = [poison.raw for poison in POISON_LINES]
    shop.orders("publish", "--topic", shop.topics[0], "-", given=b"\n".join(bad))
    shop.match_everything()
    listed = shop.orders("dead-letters", "list", "--json")
    assert listed.status == 0
    letters = [json.loads(line) for line in listed.output.splitlines()]
    assert sorted((letter["reason"], letter["field"] or "") for letter in letters) == sorted(
        (poison.reason, poison.field or "") for poison in POISON_LINES
    )
    assert all(letter["id"] == f"{letter['topic']}:{letter['partition']}:{letter['offset']}" for letter in letters)
    assert b"customer-7" not in listed.output

    table = shop.orders("dead-letters", "list", "--reason", "bad_time", "--limit", "3")
    assert table.output.count(b"bad_time") == 3
    assert f"{sum(poison.reason == 'bad_time' for poison in POISON_LINES)} dead letters" in table.said


def test_dead_letters_are_published_again_byte_by_byte(shop: Shop) -> None:
    spoilt = json.dumps({**ORDER, "currency": "eur"}).encode()
    shop.orders("publish", "--topic", shop.topics[0], "-", given=b"nonsense\n" + spoilt + b"\n" + b"x" * 65_537)
    shop.match_everything()
    ids = {letter["reason"]: letter["id"] for letter in map(json.loads, shop.orders(
        "dead-letters", "list", "--json").output.splitlines())}  # fmt: skip

    one = shop.orders("dead-letters", "replay", ids["bad_currency"], "--json")
    assert (one.status, one.json) == (0, {"sent": 1, "failed": 0, "too_large": []})
    found = [record for record in shop.lie_in(shop.topics[0]) if record.value == spoilt]
    assert [record.key for record in found] == [b"o-1", b"o-1"]

    by_reason = shop.orders("dead-letters", "replay", "--reason", "not_json", "--json")
    assert by_reason.json["sent"] == 1
    everything = shop.orders("dead-letters", "replay", "--all", "--json")
    assert everything.status == 3
    assert everything.json == {"sent": 2, "failed": 0, "too_large": [ids["too_large"]]}
    assert "its sender must send it again" in everything.said


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        ([], 2, "or take --all"),
        (["--all", "--reason", "not_json"], 2, "or take --all"),
        (["--reason", "ugly"], 2, "There is no reason ugly."),
        (["orders:0:99"], 1, "There is no dead letter orders:0:99."),
    ],
)
def test_dead_letters_replay_wants_a_choice(shop: Shop, options: list[str], status: int, sentence: str) -> None:
    done = shop.orders("dead-letters", "replay", *options)
    assert done.status == status
    assert sentence in done.said


def test_every_poison_has_a_line_or_is_blank() -> None:
    assert {poison.name for poison in POISON} - {poison.name for poison in POISON_LINES} <= {"empty", "only-spaces"}
