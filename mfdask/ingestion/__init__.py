"""Ingest: raw ratings in, a data set of user and item shards out."""
