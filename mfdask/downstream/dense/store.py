"""The Zarr (format 3) folder of dense predictions, one file a chunk of whole users.

======================  ==========================================================================
`zarr.json`             what the matrix is: model, data, rating scale, largest error
`prediction/c/i/j`      chunk: little-endian, row by row, not compressed, all of one size
`user_id`, `item_id`    raw ids of its rows and columns
======================  ==========================================================================
"""

from __future__ import annotations

import json
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from mfdask.downstream.dense.encoding import Encoding
from mfdask.kernels.topn import TILE

#: Bytes of a chunk: some users at once where the catalogue is large, and never much memory.
CHUNK_BYTES = 8 * 2**20
#: Names the work in a finished folder's attributes.
IDENTITY = "identity"


@dataclass(frozen=True)
class ChunkLayout:
    """How a matrix is cut into chunks, which are numbered row by row.

    Attributes
    ----------
    shape : tuple of int
        Users, items.
    chunk : tuple of int
        Users and items of a chunk; those at the edge are filled up.
    itemsize : int
        Bytes of a value.
    """

    shape: tuple[int, int]
    chunk: tuple[int, int]
    itemsize: int

    @classmethod
    def of(cls, shape: tuple[int, int], itemsize: int) -> ChunkLayout:
        """Cut a matrix: all items of some users; only a huge catalogue is cut as well."""
        values = CHUNK_BYTES // itemsize
        items = min(shape[1], values // TILE * TILE)
        return cls(shape, (min(shape[0], max(1, values // items)), items), itemsize)

    @property
    def across(self) -> int:
        """Chunks that hold a user."""
        return -(-self.shape[1] // self.chunk[1])

    @property
    def n_chunks(self) -> int:
        """Chunks of the matrix."""
        return -(-self.shape[0] // self.chunk[0]) * self.across

    @property
    def chunk_bytes(self) -> int:
        """Bytes of each chunk."""
        return self.chunk[0] * self.chunk[1] * self.itemsize

    def users(self, number: int) -> slice:
        """Return the users of a chunk."""
        start = number // self.across * self.chunk[0]
        return slice(start, min(start + self.chunk[0], self.shape[0]))

    def items(self, number: int) -> slice:
        """Return the items of a chunk, whether they are there or only fill it up."""
        start = number % self.across * self.chunk[1]
        return slice(start, start + self.chunk[1])

    def file(self, folder: Path, number: int) -> Path:
        """Return where a chunk lies."""
        i, j = divmod(number, self.across)
        return folder / "prediction" / "c" / str(i) / str(j)

    def missing(self, folder: Path) -> list[int]:
        """Return the numbers of the chunks that do not lie there whole."""
        return [
            number
            for number in range(self.n_chunks)
            if _size(self.file(folder, number)) != self.chunk_bytes
        ]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def create(
    folder: Path,
    layout: ChunkLayout,
    encoding: Encoding,
    ids: dict[str, pd.Series],
    said: dict[str, Any],
) -> None:
    """Write all but the chunks: attributes, the matrix's form, `user_id` and `item_id`."""
    group = zarr.create_group(str(folder), zarr_format=3, attributes=said)
    unpack = {"scale_factor": encoding.scale, "add_offset": encoding.offset}
    group.create_array(
        "prediction",
        shape=layout.shape,
        chunks=layout.chunk,
        dtype=encoding.dtype,
        compressors=None,
        filters=None,
        fill_value=0,
        dimension_names=list(ids),
        attributes={"long_name": "predicted rating", **(unpack if encoding.packed else {})},
    )
    for name, values in ids.items():
        group.create_array(name, data=_plain(values), dimension_names=[name])
    with warnings.catch_warnings():
        # Not yet in Zarr's own specification; xarray warns where it is not there.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(str(folder))


def _plain(ids: pd.Series) -> npt.NDArray[Any]:
    if pd.api.types.is_integer_dtype(ids.dtype):
        return ids.to_numpy()
    return ids.to_numpy(np.dtypes.StringDType())


def stored_ids(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the ids of users and items in order."""
    group: Any = zarr.open_group(str(folder), mode="r")
    return group["user_id"][:].tolist(), group["item_id"][:].tolist()


def read_identity(folder: Path) -> str | None:
    """Return what names the work in a finished folder, None where there are no predictions."""
    try:
        said = json.loads((folder / "zarr.json").read_text())
        return str(said["attributes"][IDENTITY])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put(block: npt.NDArray[Any], file: Path, spare: Path) -> None:
    """Write a chunk in `spare`, and move it to its place whole."""
    fresh = spare / uuid.uuid4().hex
    fresh.write_bytes(block.data)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh.replace(file)
