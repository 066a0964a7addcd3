"""`orders config` and `orders completion`."""

import os
from datetime import timedelta
from typing import Any

import click

from orders_platform.cli import output

_MASK = "********"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def config(as_json: bool) -> None:
    """Show every setting, its value and where that comes from; secrets are masked."""
    shown = _shown_settings()
    if as_json:
        output.result_json(shown)
        return
    for name, setting in shown.items():
        value = setting["value"]
        output.result(f"{name} = {'-' if value is None else value}  ({setting['origin']})")


def _shown_settings() -> dict[str, dict[str, Any]]:
    from orders_platform.settings import build, is_secret, known_keys, layers, origins
    from orders_platform.surroundings import duration_text

    given = layers(None, os.environ, None)
    settings, origin = build(given), origins(given)
    values = settings.model_dump()
    shown: dict[str, dict[str, Any]] = {}
    for name in known_keys():
        value: Any = values
        for part in name.split("."):
            value = value[part]
        if isinstance(value, timedelta):
            value = duration_text(value)
        elif name == "kafka.client":
            value = {key: _MASK if is_secret(key) else text for key, text in value.items()}
        elif value is not None and type(value) not in (int, float, str):
            # A `SecretStr` masks itself.
            value = str(value)
        shown[name] = {"value": value, "origin": origin.get(name, "default")}
    return shown


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: eval "$(orders completion bash)"
    zsh:  eval "$(orders completion zsh)"
    fish: orders completion fish | source
    """
    from click.shell_completion import get_completion_class

    from orders_platform.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise AssertionError("click knows every shell of the choice")
    # `source` of the class would first ask an installed bash for its version; the script itself needs nothing of it.
    script = found(cli, {}, "orders", "_ORDERS_COMPLETE")
    output.result(script.source_template % script.source_vars())


commands: list[click.Command] = [config, completion]
