"""One POST, to receivers that are well, ill, away, slow or somebody else."""

import ipaddress
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orders_platform.alerts.webhook import check_address, post
from orders_platform.errors import SettingsError
from orders_platform_tests.alerts.receiver import PATH, Receiver, receiving

BODY = b'{"x": 1}'
PATIENT_S = 30.0
"""For receivers that answer, however slow the machine is."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_it_arrives(receiver: Receiver) -> None:
    answer = post(receiver.url, BODY, PATIENT_S)
    assert answer.arrived
    assert (receiver.bodies, receiver.paths) == ([BODY], [PATH])


def test_no_proxy_stands_between_this_machine_and_itself(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert post(receiver.url, BODY, PATIENT_S).arrived
        assert proxy.paths == []


@pytest.mark.parametrize("status", [400, 403, 404, 410, 500, 502])
def test_a_refusal_is_told_with_its_status(receiver: Receiver, status: int) -> None:
    receiver.status = status
    answer = post(receiver.url, BODY, PATIENT_S)
    assert (answer.arrived, answer.pause_s) == (False, 0.0)
    assert answer.why == f"the receiver answered {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with receiving() as elsewhere:
        receiver.status, receiver.headers = status, {"Location": elsewhere.url}
        answer = post(receiver.url, BODY, PATIENT_S)
        assert not answer.arrived
        assert answer.why == f"the receiver redirects ({status}), which is not followed"
        assert elsewhere.paths == []


@pytest.mark.parametrize(
    ("status", "header", "least_s", "most_s"),
    [
        (429, "7", 7, 7),
        (503, "7", 7, 7),
        (500, "7", 0, 0),
        (429, "999999", 3600, 3600),
        (429, "-5", 0, 0),
        (429, "soon", 0, 0),
        (429, "1" * 400, 3600, 3600),
        (429, "DATE", 100, 300),
    ],
)
def test_a_pause_that_is_asked_for_is_kept_within_reason(
    receiver: Receiver, status: int, header: str, least_s: float, most_s: float
) -> None:
    if header == "DATE":
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    receiver.status, receiver.headers = status, {"Retry-After": header}
    assert least_s <= post(receiver.url, BODY, PATIENT_S).pause_s <= most_s


@pytest.mark.parametrize("way", ["hang", "drip"])
def test_who_does_not_answer_is_left(receiver: Receiver, way: str) -> None:
    setattr(receiver, way, True)
    started_s = time.monotonic()
    answer = post(receiver.url, BODY, 0.5)
    assert time.monotonic() - started_s < 30, "neither silence nor single bytes hold the tick"
    assert answer.why == "the receiver did not answer within 0.5 s"


def test_who_is_not_there_is_told() -> None:
    with receiving() as gone:
        pass
    answer = post(gone.url, BODY, PATIENT_S)
    assert answer.why == "the receiver can't be reached (ConnectionRefusedError)"


def test_a_host_that_can_be_none_is_told() -> None:
    assert "can't be reached" in post(f"https://{'x' * 64}.example{PATH}", BODY, PATIENT_S).why


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "certificate.pem"
    file.write_bytes(private + made.public_bytes(pem))
    return file


def test_a_certificate_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with receiving(tls=tls) as receiver:
        refused = post(receiver.url, BODY, PATIENT_S)
        assert refused.why == "the receiver can't be reached (SSLCertVerificationError)"
        assert receiver.bodies == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post(receiver.url, BODY, PATIENT_S).arrived
        assert receiver.bodies == [BODY]


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example/canary",
        "http://10.0.0.1/canary",
        "http://127.0.0.1.example/canary",
        "https://user:canary@hooks.example/",
        "https:///canary",
        "https://h:99999/canary",
        "https://h/canary canary",
        "https://h/canary\n",
        "https://hé/canary",
        "https://[canary",
        "file:///etc/canary",
        "canary",
        "",
    ],
)
def test_an_address_that_will_not_do_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingsError) as refused:
        post(address, BODY)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("address", ["https://hooks.example/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_an_address_that_will_do(address: str) -> None:
    check_address(address)
