"""`orders fold` as a black box: documents on standard output, rejections on standard error, the exit status."""

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from orders_platform_tests import adversary, oracle
from orders_platform_tests.evidence_fold import COMMAND, ROOT, differences, fold, settings_for
from orders_platform_tests.oracle import Content
from orders_platform_tests.poison import POISON_LINES

ORDER: Content = {
    "event_id": "e1",
    "type": "order_placed",
    "order_id": "o1",
    "occurred_at": "2026-01-05T10:00:00Z",
    "amount_minor": 100,
    "currency": "EUR",
}
PAYMENT: Content = {**ORDER, "event_id": "e2", "type": "payment_captured", "payment_id": "p1"}


def line(content: Content, **changes: object) -> bytes:
    return json.dumps({**content, **changes}).encode()


def test_help_names_the_options(tmp_path: Path) -> None:
    helped = fold(["--help"], tmp_path)
    assert helped.status == 0
    assert all(option in helped.output for option in (b"--now", b"--tolerance", b"--payment-window"))


@pytest.mark.parametrize("seed", range(4))
def test_adversarial_lines_equal_the_oracle(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    lines = adversary.lines(random, 4_000, 600, hot_orders=seed % 2)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(lines))
    options, clock_ms, tolerance, window_ms = settings_for(random)
    assert not list(differences(fold([*options, path], tmp_path), lines, clock_ms, tolerance, window_ms))


def test_every_kind_of_poison_is_reported_with_its_line(tmp_path: Path) -> None:
    lines = [poison.raw for poison in POISON_LINES]
    folded = fold(["-"], tmp_path, b"\n".join(lines))
    assert folded.status == 3
    assert folded.output == b""
    assert folded.rejections == [
        {"line": number, "reason": poison.reason, "field": poison.field}
        for number, poison in enumerate(POISON_LINES, start=1)
    ]


def test_a_file_and_standard_input_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    random = Random(7)
    lines = [oracle.canonical(adversary.content(random, f"o{random.randrange(40)}")) for _ in range(300)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    from_file = fold([path], tmp_path)
    random.shuffle(lines)
    from_input = fold(["-"], tmp_path, b"\n".join([*lines, *lines[:50]]))
    assert from_file.status == from_input.status == 0
    assert from_file.errors == from_input.errors == b""
    assert from_file.output == from_input.output
    assert not list(differences(from_file, lines, None, 0, oracle.DEFAULT_WINDOW_MS))


def test_no_events_are_no_documents(tmp_path: Path) -> None:
    for given in (b"", b"\n", b"\n \n\r\n\t\n"):
        folded = fold(["-"], tmp_path, given)
        assert (folded.status, folded.output, folded.errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], "awaiting_payment"),
        (["--now", "2026-01-05T10:30:00.000Z"], "awaiting_payment"),
        (["--now", "2026-01-05T10:30:00.001Z"], "unpaid"),
        (["--now", "2026-01-05T12:30:00.001+02:00"], "unpaid"),
        (["--now", "2026-01-05T10:30:00.001Z", "--payment-window", "31m"], "awaiting_payment"),
        (["--now", "2026-01-05T12:00:00.001Z", "--payment-window", "2h"], "unpaid"),
        (["--now", "2026-01-06T10:00:00.000Z", "--payment-window", "1d"], "awaiting_payment"),
        (["--now", "2026-01-05T10:00:00.501Z", "--payment-window", "500ms"], "unpaid"),
        (["--now", "2026-01-05T10:01:30.000Z", "--payment-window", "90s"], "awaiting_payment"),
        (["--tolerance", "99"], "awaiting_payment"),
        (["--tolerance", "100"], "matched"),
    ],
    ids=" ".join,
)
def test_options(options: list[str], status: str, tmp_path: Path) -> None:
    folded = fold([*options, "-"], tmp_path, line(ORDER))
    assert [document["status"] for document in folded.documents] == [status]
    assert folded.status == 0


def test_line_numbers_count_blank_lines_and_line_ends_are_no_part_of_a_message(tmp_path: Path) -> None:
    lines = [b"", line(ORDER) + b"\r", b"{", b" \t", line(PAYMENT), b"nonsense\r"]
    folded = fold(["-"], tmp_path, b"\n".join(lines))
    assert folded.rejections == [
        {"line": 3, "reason": "not_json", "field": None},
        {"line": 6, "reason": "not_json", "field": None},
    ]
    assert [document["status"] for document in folded.documents] == ["matched"]
    assert folded.status == 3


def test_64_kib_are_measured_without_the_line_feed(tmp_path: Path) -> None:
    lines = [line(ORDER).ljust(65_536), line(PAYMENT).ljust(65_537)]
    folded = fold(["-"], tmp_path, b"\n".join(lines) + b"\n")
    assert folded.rejections == [{"line": 2, "reason": "too_large", "field": None}]
    assert [document["event_count"] for document in folded.documents] == [1]


def test_events_past_the_bound_are_rejected_on_their_own_lines(tmp_path: Path) -> None:
    payments = [line(PAYMENT, event_id=f"e{number}", payment_id=f"p{number}") for number in range(503)]
    lines = [*payments[:502], payments[0], payments[500], line(ORDER, order_id="o2"), payments[502]]
    folded = fold(["-"], tmp_path, b"\n".join(lines))
    assert [(each["line"], each["reason"], each["field"]) for each in folded.rejections] == [
        (number, "too_many_events", None) for number in (501, 502, 504, 506)
    ]
    assert [(each["event_count"], each["reasons"]) for each in folded.documents] == [(500, ["overflow"]), (1, [])]
    assert folded.status == 3


def test_documents_are_sorted_by_order_id_as_text(tmp_path: Path) -> None:
    ids = ["b", "B", "10", "9", "a", "_", "-", ".", ":", "Z", "aa"]
    folded = fold(["-"], tmp_path, b"\n".join(line(ORDER, order_id=each) for each in ids))
    assert [document["order_id"] for document in folded.documents] == sorted(ids)


def test_rejections_never_echo_a_value(tmp_path: Path) -> None:
    secret = "Erika Mustermann"
    lines = [line(ORDER, **{field: [secret]}) for field in ORDER] + [secret.encode(), line(ORDER, reason=secret * 9)]
    folded = fold(["-"], tmp_path, b"\n".join(lines))
    assert len(folded.rejections) == len(lines)
    assert b"Muster" not in folded.errors


def test_every_line_is_one_compact_object_and_nothing_else_is_printed(tmp_path: Path) -> None:
    folded = fold(["-"], tmp_path, line(ORDER) + b"\n" + line(PAYMENT, order_id="o2") + b"\nbad\n")
    assert folded.output.endswith(b"\n")
    assert [list(document) for document in folded.documents] == [list(oracle.PRINTED)] * 2
    assert [list(rejection) for rejection in folded.rejections] == [["line", "reason", "field"]]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--now", "yesterday", "-"],
        ["--now", "2026-01-05T10:00:00", "-"],
        ["--tolerance", "-1", "-"],
        ["--tolerance", "0.5", "-"],
        ["--payment-window", "soon", "-"],
        ["--payment-window", "-30m", "-"],
        ["--unheard-of", "-"],
        ["no-such-file.jsonl"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_a_sentence(arguments: list[str], tmp_path: Path) -> None:
    folded = fold(arguments, tmp_path)
    assert folded.status == 2
    assert folded.output == b""
    assert b"Traceback" not in folded.errors
    assert b"defect" not in folded.errors
    assert folded.errors.strip()


def test_a_reader_that_stops_early_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(line(ORDER, order_id=f"o{number}") for number in range(5_000)))
    process = subprocess.Popen(
        [*COMMAND, path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"ORDERS_HOME": str(tmp_path)}
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert json.loads(process.stdout.readline())["order_id"] == "o0"
        process.stdout.close()
        errors = process.stderr.read()
    process.wait(timeout=30)
    assert b"Traceback" not in errors
    assert b"defect" not in errors
