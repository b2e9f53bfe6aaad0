"""User and item blocks of ratings in CSR form, on disk."""
