"""The three topics: produced by the shop, read by the matcher."""

import dagster as dg

OWNERS = ["team:payments"]
TOPICS = {
    "orders_topic": "Orders placed and cancelled.",
    "payments_topic": "Payments captured and failed.",
    "adjustments_topic": "Refunds, and charge-backs opened and reversed.",
}
"""Asset key, which is the name of the setting under `kafka`, and what its messages are."""


def topic_specs() -> list[dg.AssetSpec]:
    """Return the topics as external assets."""
    return [
        dg.AssetSpec(
            key,
            description=(
                f"{what} The topic's name does not decide anything: each message says its type. "
                f"Which topic it is: `kafka.{key}` in the settings."
            ),
            group_name="topics",
            kinds={"kafka"},
            owners=OWNERS,
            metadata={
                "setting": f"kafka.{key}",
                "contract": dg.MetadataValue.md("See *Plug in your own* in README.md."),
            },
        )
        for key, what in TOPICS.items()
    ]
