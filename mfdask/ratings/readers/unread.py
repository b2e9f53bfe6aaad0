"""Forms of files that are not read, and what to convert them to."""

from __future__ import annotations

from mfdask.errors import InputError

_PANDAS = "load it with pandas and write it with to_parquet('ratings.parquet')"
_R = "write it with arrow::write_parquet(ratings, 'ratings.parquet') in R"
_ARCHIVE = "unpack it, and give the folder"
#: Forms that are read and are zip files.
_ZIPPED = (".npz", ".xlsx", ".xlsb", ".ods")
_FORMS = {
    (".h5", ".hdf5", ".hdf"): ("HDF5", _PANDAS),
    (".pkl", ".pickle", ".joblib"): ("a pickle, which could run any program", _PANDAS),
    (".sav", ".dta", ".sas7bdat", ".xpt"): ("a file of a statistics program", _PANDAS),
    (".xml", ".html"): ("marked-up text", _PANDAS),
    (".rds", ".rdata", ".rda"): ("a file of R", _R),
    (".avro",): ("Avro", "write it as Parquet"),
    (".mat",): ("a file of MATLAB", "write it with scipy.sparse.save_npz('ratings.npz', matrix)"),
    (".npy", ".pt", ".safetensors"): (
        "a bare array",
        "write user, item and rating as columns of a CSV or Parquet file",
    ),
    (".duckdb",): ("a database of DuckDB", "write it with COPY ratings TO 'ratings.parquet'"),
    (".7z", ".rar"): ("an archive of a kind that is not read", _ARCHIVE),
}  # fmt: skip
_STARTS = {
    b"PK\x03\x04": "a zip file or a workbook; let its name end in .zip or .xlsx",
    b"\x89HDF": f"HDF5, which is not read; {_PANDAS}",
    b"Obj\x01": "Avro, which is not read; write it as Parquet",
    b"\x1f\x8b": "compressed by gzip; let its name end in .gz",
    b"BZh9": "compressed by bzip2; let its name end in .bz2",
    b"\xfd7zXZ": "compressed by xz; let its name end in .xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; let its name end in .zst",
}  # fmt: skip


def refuse_unread(name: str, head: bytes, label: str) -> None:
    """Raise `InputError` for forms that are not read, and say what to do.

    Parameters
    ----------
    name : str
        Of the file, in small letters.
    head : bytes
        Its first bytes.
    label : str
        Its name for people.
    """
    for suffixes, (form, mend) in _FORMS.items():
        if name.endswith(suffixes):
            raise InputError(f"{label} is {form}, which is not read; {mend}")
    for start, what in _STARTS.items():
        if head.startswith(start) and not name.endswith(_ZIPPED):
            raise InputError(f"{label} is {what}")
