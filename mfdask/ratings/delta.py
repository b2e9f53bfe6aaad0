"""The files that a Delta table holds now, by its log."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

from mfdask.errors import InputError

_LOG = "_delta_log"


def is_table(folder: Path) -> bool:
    """Tell whether a folder is a Delta table."""
    return (folder / _LOG).is_dir()


def held_files(folder: Path) -> list[Path]:
    """Return the files of a Delta table: its folder has those that were taken out, too.

    Raises
    ------
    InputError
        The log is damaged, does not go back to the start, or knows single rows that are deleted.
    """
    commits = sorted((folder / _LOG).glob("[0-9]*.json"))
    if not commits or int(commits[0].stem) != 0:
        raise InputError(
            f"{folder.name} is a Delta table whose log does not go back to its start; write what "
            "it holds into a folder of Parquet files, and give that"
        )
    held: dict[str, None] = {}
    for commit in commits:
        try:
            for line in commit.read_text("utf-8").splitlines():
                _apply(json.loads(line), held)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{folder.name}: {commit.name} of its log is damaged") from error
    files = [folder / unquote(name) for name in held]
    root = folder.resolve()
    if not all(file.resolve().is_relative_to(root) for file in files):
        raise InputError(f"{folder.name}: its log names files outside of it; copy them into it")
    return files


def _apply(action: dict[str, dict[str, str]], held: dict[str, None]) -> None:
    if "add" in action:
        if action["add"].get("deletionVector"):
            raise InputError("a Delta table with deleted rows in its files; run OPTIMIZE first")
        held[action["add"]["path"]] = None
    if "remove" in action:
        held.pop(action["remove"]["path"], None)
