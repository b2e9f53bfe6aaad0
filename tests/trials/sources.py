"""Damage files of ratings in every form, and see what readers make of them.

A file has bits flipped, is cut, or has bytes put in, taken twice or zeroed. Reading it must give
rows that are counted, or end with an error that means exit code 2.
``python -m tests.trials.sources`` prints what came of it; a sample runs among the tests.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mfdask.errors import InputError
from mfdask.ratings.formats import open_source
from tests.ratings import forms

FRAME = pd.DataFrame(
    {
        "user_id": [3, 1, 2, 3],
        "item_id": [10, 7, 10, 8],
        "rating": np.array([4, 1, 3, 5], np.float32),
        "timestamp": [86_400, 0, 3 * 86_400, 0],
    }
)


def flip(data: bytearray, draw: random.Random) -> bytearray:
    """Turn some bits round."""
    for _ in range(draw.choice((1, 1, 1, 8))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    """Take away the end."""
    return data[: draw.randrange(1, len(data))]


def repeat(data: bytearray, draw: random.Random) -> bytearray:
    """Have some bytes twice."""
    begin, end = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:end] + data[begin:]


def zero(data: bytearray, draw: random.Random) -> bytearray:
    """Set eight bytes to 0."""
    begin = draw.randrange(len(data))
    data[begin : begin + 8] = bytes(len(data[begin : begin + 8]))
    return data


def insert(data: bytearray, draw: random.Random) -> bytearray:
    """Put in bytes of any kind."""
    place = draw.randrange(len(data))
    return data[:place] + draw.randbytes(4) + data[place:]


DAMAGES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip, cut, repeat, zero, insert,
)  # fmt: skip


def whole_files(folder: Path) -> dict[str, Path]:
    """Write ratings in every form."""
    files = {}
    for name, write in {**forms.ANY, "market": forms.market, "npz": forms.npz}.items():
        (folder / name).mkdir()
        files[name] = write(FRAME, folder / name)
    files["netflix"] = forms.netflix(FRAME, folder / "mv_0000001.txt")
    text = files["csv"].read_bytes()
    for end, compress in forms.COMPRESSED.items():
        files[end] = folder / f"r.csv{end}"
        files[end].write_bytes(compress(20 * text))
    for name in ("a.tar", "a.tgz", "a.tar.zst"):
        files[name] = forms.tar(folder / name, {"r.csv": text})
    files["a.zip"] = forms.zipped(folder / "a.zip", {"r.csv": text})
    return files


def outcome(path: Path, form: str) -> str:
    """Read a file; anything but an `InputError` is raised."""
    try:
        source = open_source(str(path), cache_dir=path.parent / "cache", **forms.options(form))
        for part in source.parts:
            parsed = part.read()
            assert parsed.n_read == len(parsed.ratings) + len(parsed.rejected)
    except InputError as error:
        if "\n" in str(error):
            raise
        return "refused"
    return "read"


def run(trials: int, seed: int = 0) -> Counter[tuple[str, str]]:
    """Damage and read each form `trials` times; return how often it was read and refused."""
    draw, found = random.Random(seed), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as scratch:
        for form, whole in whole_files(Path(scratch)).items():
            held = whole.read_bytes()
            for _ in range(trials):
                whole.write_bytes(draw.choice(DAMAGES)(bytearray(held), draw))
                found[form, outcome(whole, form)] += 1
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500, help="of each form")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for (form, what), n in sorted(run(given.trials, given.seed).items()):
        print(f"{form}: {n} {what}")
