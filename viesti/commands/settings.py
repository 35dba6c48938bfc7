"""``viesti config``: the table of all settings."""

from __future__ import annotations

import dataclasses

from rich.table import Table

from viesti.commands.perform import Json, Result, out, perform
from viesti.kit.config import Settings, describe, to_environment

HIDDEN = "(set)"


def config(as_json: Json = False) -> None:
    """Every setting: its variable, TOML key, value now, default and meaning."""

    def work(settings: Settings) -> Result:
        values = to_environment(settings)
        return {
            "settings": [
                {**dataclasses.asdict(info), "value": _shown(info.is_secret, values[info.variable])}
                for info in describe()
            ]
        }

    def show(result: Result) -> None:
        table = Table("Variable (key in viesti.toml: the same, lower case)", "Value", "Meaning")
        for one in result["settings"]:
            table.add_row(one["variable"], one["value"] or "-", one["help"])
        out.print(table)

    perform(as_json, work, show)


def _shown(is_secret: bool, value: str) -> str:
    return HIDDEN if is_secret and value else value
