"""Tasks that run kernels. Only who runs them loads Numba: the client starts that much sooner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mfdask.ingest.plan import UserBlock
from mfdask.shards.store import FileFacts


def load_kernels() -> None:
    """Load Numba, and let it set itself up, as it does when it first calls a kernel.

    That takes half a second, and holds the GIL, which Arrow does not: time to do it is while other
    threads read.
    """
    from mfdask.kernels.csr import counting_order

    counting_order(np.zeros(1, np.int32), 1)


def fill_buckets(*args: Any) -> npt.NDArray[np.int64]:
    """See `partition.fill_buckets`."""
    from mfdask.ingest import partition

    return partition.fill_buckets(*args)


def build_user_block(*args: Any) -> UserBlock:
    """See `blocks.build_user_block`."""
    from mfdask.ingest import blocks

    return blocks.build_user_block(*args)


def write_kept(*args: Any) -> None:
    """See `blocks.write_kept`."""
    from mfdask.ingest import blocks

    blocks.write_kept(*args)


def extend_user_block(*args: Any) -> UserBlock:
    """See `growing.extend_user_block`."""
    from mfdask.ingest import update_blocks as growing

    return growing.extend_user_block(*args)


def extend_item_block(*args: Any) -> dict[str, FileFacts]:
    """See `growing.extend_item_block`."""
    from mfdask.ingest import update_blocks as growing

    return growing.extend_item_block(*args)


def write_kept_times(*args: Any) -> None:
    """See `growing.write_kept_times`."""
    from mfdask.ingest import update_blocks as growing

    growing.write_kept_times(*args)
