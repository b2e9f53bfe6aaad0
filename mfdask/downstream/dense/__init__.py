"""Dense predictions: a rating for every user and item, in a Zarr folder."""

from mfdask.downstream.dense.encoding import DTYPES, Encoding
from mfdask.downstream.dense.write import Densified, densify

__all__ = ["DTYPES", "Densified", "Encoding", "densify"]
