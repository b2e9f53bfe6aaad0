"""The folder where Numba keeps compiled kernels, so that they are compiled once."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LOG = logging.getLogger(__name__)

#: What Numba reads, when it is loaded.
VARIABLE = "NUMBA_CACHE_DIR"


def use_cache() -> Path:
    """Choose the folder for this process and those that it starts, before Numba is loaded.

    Numba's own choices come first: what `NUMBA_CACHE_DIR` names, beside the code, the user's cache.
    An account that may write none of these, such as a service without a home, gets another one,
    and a line in the log: Numba would refuse to load the kernels.

    Returns
    -------
    Path
    """
    given = os.environ.get(VARIABLE)
    own = Path(__file__).parent / "__pycache__"
    for folder in [Path(given)] if given else [own, _of_user()]:
        if _is_usable(folder):
            return folder
    others = (each for each in _others() if _is_usable(each) and _is_ours(each))
    folder = next(others, None) or _passing()
    os.environ[VARIABLE] = str(folder)
    why = "this account may not write where it would be by default"
    if given:
        whole = Path(given).is_absolute()
        why = f"this account may not write {given}" if whole else f"{given} is no absolute path"
    _LOG.warning("compiled code is kept in %s: %s; %s names another folder", folder, why, VARIABLE)
    return folder


def _of_user() -> Path:
    """Return the folder that Numba keeps for a user."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches or os.path.expanduser("~/.cache")) / "numba"  # noqa: PTH111 - raises nothing


def _others() -> Iterator[Path]:
    """Yield folders of our own, the best first."""
    for variable in ("MFDASK_CACHE", "CACHE_DIRECTORY"):  # the second is of systemd
        if caches := os.environ.get(variable, "").partition(":")[0]:
            yield Path(caches) / "numba"
    yield Path(tempfile.gettempdir()) / f"mfdask-numba-{os.getuid()}"


def _passing() -> Path:
    """Return a folder that goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="mfdask-numba-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_compiled(kernel: str) -> bool:
    """Whether a kernel, such as ``rows.solve_rows``, has been compiled and kept; by its file."""
    module = Path(__file__).with_name(f"{kernel.partition('.')[0]}.py")
    kept = _kept().rglob(f"{kernel}-*.nbi")
    return any(file.stat().st_mtime > module.stat().st_mtime for file in kept)


def _kept() -> Path:
    given, own = os.environ.get(VARIABLE), Path(__file__).parent / "__pycache__"
    return Path(given) if given else own if _is_usable(own) else _of_user()


def _is_usable(folder: Path) -> bool:
    """Whether this account may write there."""
    if not folder.is_absolute():
        return False  # such as ~ where nobody has a home
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put code there: it would be run."""
    facts = folder.lstat()
    others = stat.S_IWGRP | stat.S_IWOTH
    is_own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    return is_own and not facts.st_mode & others
