"""Type aliases of the arrays that kernels take."""

from typing import Any

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
UInt8s = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def read_only(array: Any) -> Any:
    """Return a plain read-only view: the kernels are compiled for this kind of array alone."""
    view = np.asarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view
