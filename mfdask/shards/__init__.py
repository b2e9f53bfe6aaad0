"""User and item blocks of ratings in CSR form, on disk."""

from mfdask.shards.dataset import Dataset
from mfdask.shards.manifest import Counts, Manifest
from mfdask.shards.store import OTHER, SIDES, Shard

__all__ = ["OTHER", "SIDES", "Counts", "Dataset", "Manifest", "Shard"]
