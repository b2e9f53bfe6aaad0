"""Folders that appear whole, and locks that fall with their holder."""

import subprocess
import sys
import threading

import pytest

from mfdask.errors import RefusedError
from mfdask.files import atomic_directory, file_lock


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "t"
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [f.name for f in target.parent.iterdir()] == ["t"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_is_replaced(exchanged, tmp_path, monkeypatch):
    if not exchanged:
        monkeypatch.setattr("mfdask.files._exchange", lambda one, other: False)
    target = tmp_path / "t"
    for content in ("1", "2"):
        with atomic_directory(target) as fresh:
            (fresh / content).write_text(content)
    assert [f.name for f in target.iterdir()] == ["2"]
    assert [f.name for f in tmp_path.iterdir()] == ["t"]


def test_a_reader_never_misses_a_folder_that_is_replaced(tmp_path):
    target = tmp_path / "t"
    with atomic_directory(target) as fresh:
        (fresh / "a").write_text("0")
    missed, done = [], threading.Event()

    def read():
        while not done.is_set():
            if not target.exists():
                missed.append(True)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        with atomic_directory(target) as fresh:
            (fresh / "a").write_text("1")
    done.set()
    reader.join()
    assert not missed


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "t"
    target.mkdir()
    (target / "old").write_text("1")

    def write_half() -> None:
        with atomic_directory(target) as fresh:
            (fresh / "new").write_text("2")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert [f.name for f in target.iterdir()] == ["old"]
    assert [f.name for f in tmp_path.iterdir()] == ["t"]


def test_the_second_holder_is_refused(tmp_path):
    with (
        file_lock(tmp_path / "t", "training into"),
        pytest.raises(RefusedError, match="another process is training into it"),
        file_lock(tmp_path / "t", "training into"),
    ):
        pass
    with file_lock(tmp_path / "t", "training into"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_falls_with_a_killed_holder(tmp_path):
    code = (
        "import os, signal, pathlib, mfdask.files as f\n"
        f"with f.locked(pathlib.Path({str(tmp_path / 't')!r}), 'x'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with file_lock(tmp_path / "t", "training into"):
        pass
