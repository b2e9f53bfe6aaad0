"""Folders that appear whole, and locks that fall with their holder."""

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.files import atomic_directory, atomic_file, file_lock


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
        f"with f.file_lock(pathlib.Path({str(tmp_path / 't')!r}), 'x'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with file_lock(tmp_path / "t", "training into"):
        pass


def _named_pipe(place):
    os.mkfifo(place)


def _socket(place):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place))


def _device(place):
    try:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null
    except PermissionError:
        pytest.skip("may not make a device here")


def _loop(place):
    place.symlink_to(place)


_NO_FILES = [Path.mkdir, _named_pipe, _socket, _device, _loop]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("make", _NO_FILES)
def test_what_is_no_file_is_not_replaced(make, linked, tmp_path):
    make(there := tmp_path / "t")
    if linked:
        there = tmp_path / "link"
        there.symlink_to(tmp_path / "t")
    before = os.lstat(tmp_path / "t")
    with pytest.raises(InputError, match=r": is a .*; give the name of a file"), atomic_file(there):
        pytest.fail("the work was begun")
    assert os.path.samestat(before, os.lstat(tmp_path / "t"))
    assert len(list(tmp_path.iterdir())) == 1 + linked


@pytest.mark.parametrize("make", [Path.touch, *_NO_FILES[1:]])
def test_what_is_no_folder_is_not_replaced(make, tmp_path):
    make(there := tmp_path / "t")
    before = os.lstat(there)
    with pytest.raises(InputError, match="give the name of a folder"), atomic_directory(there):
        pytest.fail("the work was begun")
    assert os.path.samestat(before, os.lstat(there))
    assert [f.name for f in tmp_path.iterdir()] == ["t"]


def test_standard_output_is_no_file_to_replace(tmp_path):
    code = "from pathlib import Path; from mfdask.files import file_place; file_place(Path({!r}))"
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        done = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True)
        assert b"is a named pipe; give the name of a file" in done.stderr


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_and_what_it_names_is_replaced(there, tmp_path):
    (real := tmp_path / "real").mkdir()
    if there:
        (real / "file").write_text("old")
        (real / "folder").mkdir()
    (tmp_path / "a").symlink_to("real/file")
    (tmp_path / "b").symlink_to(real / "folder")
    with atomic_file(tmp_path / "a") as fresh:
        fresh.write_text("new")
        assert fresh.parent == real  # the rename stays within one file system
    with atomic_directory(tmp_path / "b") as fresh:
        (fresh / "x").write_text("new")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").is_symlink()
    assert (real / "file").read_text() == (real / "folder" / "x").read_text() == "new"
    assert {f.name for f in real.iterdir()} == {"file", "folder"}
