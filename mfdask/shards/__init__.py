"""User and item blocks of ratings in CSR form, on disk."""

from mfdask.shards.dataset import Dataset
from mfdask.shards.manifest import Counts, Manifest
from mfdask.shards.store import Shard

__all__ = ["Counts", "Dataset", "Manifest", "Shard"]
