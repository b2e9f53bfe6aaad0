"""Write a first `nightly.toml`, commented and with all defaults."""

from __future__ import annotations

from pathlib import Path

from mfdask.errors import InputError
from mfdask.nightly.config import NightlyConfig

NAME = "nightly.toml"


def write_example(folder: Path) -> tuple[Path, Path]:
    """Write a configuration into a folder, and make the inbox that it names.

    Returns
    -------
    tuple of Path
        The configuration and the inbox.

    Raises
    ------
    InputError
        If there is a configuration already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / NAME
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(Path(__file__).with_name(NAME).read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError(f"{target}: is there already; keep it, or give another folder") from None
    config = NightlyConfig.read(target)
    inbox = config.home / config.inbox.folder
    inbox.mkdir(parents=True, exist_ok=True)
    return target, inbox
