"""What makes a data set: raw ratings in, user and item shards on disk out."""
