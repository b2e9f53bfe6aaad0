"""Unpacking: whole or not at all, and never outside the folder."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from mfdask.errors import InputError, RefusedError
from mfdask.ratings import archive


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def test_zip_is_unpacked_once_and_told_from_another_of_its_name(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    packed = make_zip(tmp_path / "a.zip", {"in/x.csv": b"1", "in/deep/y.csv": b"2" * 3_000_000})
    seen: list[tuple[int, int]] = []
    folder = archive.unpack_zip(
        packed, cache, lambda _, done, total, note="": seen.append((done, total))
    )
    assert (folder / "in/deep/y.csv").read_bytes() == b"2" * 3_000_000
    assert seen[-1] == (3_000_001, 3_000_001)
    (folder / "mark").touch()
    assert archive.unpack_zip(packed, cache) == folder
    assert (folder / "mark").exists()
    other = archive.unpack_zip(make_zip(tmp_path / "a.zip", {"in/x.csv": b"9"}), cache)
    assert other != folder
    assert sorted(path.name for path in cache.iterdir()) == sorted([folder.name, other.name])


@pytest.mark.parametrize(
    "name", ["../out.csv", "/out.csv", "a/../../out.csv", "..\\out.csv", "C:\\out.csv", "C:out"]
)
def test_no_member_leaves_the_folder(tmp_path: Path, name: str) -> None:
    packed = make_zip(tmp_path / "a.zip", {"good.csv": b"1", name: b"2"})
    with pytest.raises(InputError, match="outside its folder") as told:
        archive.unpack_zip(packed, tmp_path / "cache" / "deep")
    assert "not a whole zip file" not in str(told.value)
    assert [path.name for path in tmp_path.rglob("*.csv")] == []


def test_links_and_encrypted_members_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"a\.zip holds a symbolic link"):
        archive.unpack_zip(tmp_path / "a.zip", tmp_path / "cache")
    data = bytearray(make_zip(tmp_path / "b.zip", {"x": b"1"}).read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"b\.zip is encrypted; unpack it by hand"):
        archive.unpack_zip(tmp_path / "b.zip", tmp_path / "cache")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_any_byte_that_is_wrong_or_gone_is_an_input_error(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as packed:
        packed.writestr("x/é.csv", "1,2,3\n4,5,6\n7,8,9\n")
    whole = path.read_bytes()
    for place, byte in enumerate(whole):
        for change in (bytes([byte ^ 0xFF]), b""):
            path.write_bytes(whole[:place] + change + whole[place + 1 :])
            with contextlib.suppress(InputError, RefusedError):  # not every byte matters
                archive.unpack_zip(path, tmp_path / "cache")
    assert not list(tmp_path.rglob(".unpacking*"))


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"x" * 300: b"1"})
    with pytest.raises(InputError, match=r"a\.zip is not a whole zip file .*name too long"):
        archive.unpack_zip(packed, tmp_path / "cache")


def test_damaged_zips_leave_nothing_behind(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", {"x.csv": bytes(range(256)) * 99}).read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 255
    for data in (b"", b"no zip", whole[:-30], whole[: len(whole) // 2], bytes(flipped)):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(InputError, match=r"a\.zip is not a whole zip file"):
            archive.unpack_zip(tmp_path / "a.zip", tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_too_little_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = make_zip(tmp_path / "a.zip", {"x.csv": b"0" * 1000})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=999))
    with pytest.raises(RefusedError, match=r"0\.00 GB free"):
        archive.unpack_zip(packed, tmp_path / "cache")


def test_gzip_is_unpacked_once(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"1,2\n") + gzip.compress(b"3,4\n"))
    plain = archive.unpack_file(path, tmp_path / "cache")
    assert plain.read_bytes() == b"1,2\n3,4\n"
    assert archive.unpack_file(path, tmp_path / "cache") == plain
    assert list((tmp_path / "cache").iterdir()) == [plain]


def test_gzips_that_end_alike_are_told_apart(tmp_path: Path) -> None:
    path, last = tmp_path / "x.csv.gz", gzip.compress(b"")
    for content in (b"1,2\n", b"3,4\n"):
        path.write_bytes(gzip.compress(content) + last)
        assert archive.unpack_file(path, tmp_path / "cache").read_bytes() == content


def test_damaged_gzips_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    whole = gzip.compress(b"1,2,3\n" * 1000)
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    for data in (b"", b"plain text, no gzip at all", whole[:-9], bytes(flipped)):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"x\.csv\.gz is not a"):
            archive.unpack_file(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir())


def test_a_member_without_a_name(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"r.csv": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 46] = 0  # names end at a zero byte
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a whole zip file"):
        archive.unpack_zip(path, tmp_path / "cache")
