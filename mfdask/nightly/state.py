"""The saved state of an unfinished run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mfdask.decoding import decode
from mfdask.errors import InputError
from mfdask.nightly.inbox import InboxFile
from mfdask.nightly.paths import read_json, write_json


@dataclass
class State:
    """The progress of a run.

    Attributes
    ----------
    run : int
        Its number; runs count from 1.
    identity : str
        Of all that shapes its result but the files; a run of another is begun anew.
    before : str or None
        The version that was published when it began.
    files : list of dict
        `name`, `bytes` and `sha256` of the files it takes in.
    done : list of str
        Steps that are finished.
    facts : dict
        What these found out.
    seconds, memory : dict
        Of each step: the time it took, and the most resident bytes of all processes.
    """

    run: int
    identity: str
    before: str | None
    files: list[dict[str, Any]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it, on the disk before this returns."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> State | None:
        """Read it; None where no run is unfinished, or what is there cannot be read."""
        try:
            state = decode(cls, read_json(path))
            for said in [*state.files, *state.facts.get("known", [])]:
                decode(InboxFile, said)
            return state
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @classmethod
    def check(cls, path: Path, work: Path) -> None:
        """Refuse a state that cannot be read, or is gone while the work folder of a run is there.

        Raises
        ------
        InputError
        """
        if cls.load(path) is None and (path.exists() or work.exists()):
            raise InputError(
                f"{path}: damaged or gone, and a run is unfinished; the next night begins it anew"
            )
