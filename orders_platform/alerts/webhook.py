"""One POST to a webhook, within a bound and without surprises.

Its address is a secret: neither an error nor an answer's text ever repeats it. Redirects are not followed, as they
would hand the message to somebody else. Certificates are verified. What the receiver says is not read.
"""

import email.utils
import http.client
import ipaddress
import re
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from orders_platform.errors import SettingsError

TIMEOUT_S = 4.0
"""For all of it: name, connection, TLS, answer."""
_PAUSE_MAX_S = 3600.0
"""A receiver may ask for a pause, but not for silence."""


class Answer(msgspec.Struct, frozen=True):
    """Whether it arrived; if not, why, and how long the receiver wants to be left alone."""

    arrived: bool
    why: str = ""
    pause_s: float = 0.0


def check_address(address: str) -> None:
    """Accept https anywhere, and http on this machine.

    Raises:
        SettingsError: it is neither; the address is not repeated.
    """
    if not _is_fit(address):
        raise SettingsError(
            "The webhook's address is not one that alerts can go to.",
            "Set alerts.webhook_url to https://host/path without a user; http:// only reaches this machine.",
        )


def post(address: str, body: bytes, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send JSON and return within `timeout_s`. What was given up may still arrive.

    Raises:
        SettingsError: the address is not one that alerts can go to.
    """
    check_address(address)
    answers: list[Answer] = []
    # A time-out of a socket is one of each of its steps: a receiver that answers by the byte would hold us for ever.
    sender = threading.Thread(target=lambda: answers.append(_post(address, body, timeout_s)), daemon=True)
    sender.start()
    sender.join(timeout_s)
    return answers[0] if answers else _silent(timeout_s)


def _post(address: str, body: bytes, timeout_s: float) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "orders-platform"}
    request = urllib.request.Request(address, body, headers, method="POST")  # noqa: S310  checked above
    handlers: list[urllib.request.BaseHandler] = [_Stay()]
    if urlsplit(address).scheme == "http":
        handlers.append(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s):
            return Answer(True)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error.code, error.headers.get("Retry-After"))
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last: a name that can't be one
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return _silent(timeout_s)
        return Answer(False, f"the receiver can't be reached ({type(reason).__name__})")


def _silent(timeout_s: float) -> Answer:
    return Answer(False, f"the receiver did not answer within {timeout_s:g} s")


def _refused(status: int, retry_after: str | None) -> Answer:
    if 300 <= status < 400:
        return Answer(False, f"the receiver redirects ({status}), which is not followed")
    pause_s = _pause_s(retry_after) if status in (429, 503) else 0.0
    return Answer(False, f"the receiver answered {status}", pause_s)


def _pause_s(retry_after: str | None) -> float:
    """Return the seconds that a `Retry-After` means, which are a number or a date."""
    pause_s = 0.0
    if retry_after is not None:
        with suppress(ValueError, TypeError, OverflowError):
            if retry_after.strip().isdecimal():
                pause_s = float(retry_after)
            else:
                pause_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    return min(max(pause_s, 0.0), _PAUSE_MAX_S)


def _is_fit(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or re.fullmatch(r"[!-~]+", address) is None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow none: `urlopen` then raises the redirect as an error."""
