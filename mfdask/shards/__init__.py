"""Data sets: user and item shards of ratings in CSR form."""

from mfdask.shards.dataset import Dataset
from mfdask.shards.manifest import Counts, Manifest
from mfdask.shards.store import OTHER, SIDES, Shard

__all__ = ["OTHER", "SIDES", "Counts", "Dataset", "Manifest", "Shard"]
