"""Notices as a webhook takes them: Slack's shape, or plain JSON. docs/alerts.md has an example of each."""

from collections.abc import Sequence
from typing import Any

import msgspec

from orders_platform.alerts.ledger import Notice
from orders_platform.times import format_ms

VERSION = 1


def as_json(source: str, notices: Sequence[Notice], now_ms: int) -> bytes:
    """Return one JSON document with all notices; `source` says which platform it is."""
    return msgspec.json.encode(
        {
            "version": VERSION,
            "source": source,
            "sent_at": format_ms(now_ms),
            "alerts": [
                {
                    "id": each.id,
                    "state": each.state,
                    "kind": each.kind,
                    "key": each.key,
                    "at": format_ms(each.at_ms),
                    "title": each.title,
                    "text": each.text,
                    "fix": each.fix,
                }
                for each in notices
            ],
        }
    )


def as_slack(source: str, notices: Sequence[Notice], now_ms: int) -> bytes:
    """Return one message of an incoming webhook of Slack: a block for each notice."""
    del now_ms  # Slack shows when a message came
    fallback = "; ".join(each.title for each in notices[:3]) + (" ..." if len(notices) > 3 else "")
    message = {
        "text": _escaped(f"{source}: {fallback}"),
        "blocks": [
            *(_section(each) for each in notices),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(f"Sent by {source}")}]},
        ],
    }
    return msgspec.json.encode(message)


def _section(notice: Notice) -> dict[str, Any]:
    mark = ":red_circle:" if notice.state == "began" else ":large_green_circle:"
    lines = [f"{mark} *{_escaped(notice.title)}*", *(_escaped(line) for line in (notice.text, notice.fix) if line)]
    return {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)}}


def _escaped(text: str) -> str:
    """Return text in which Slack finds neither a link nor somebody to call."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SHAPES = {"json": as_json, "slack": as_slack}
