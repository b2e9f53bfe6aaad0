"""Tests for the words of errors."""

import ast
import errno
import re
from pathlib import Path

import click
import pyarrow as pa
import pytest

import mfdask
from mfdask.errors import InputError, require
from mfdask.jobs.errors import EndedError, ending

ROOT = Path(mfdask.__file__).parent
#: These hold command lines of other programs, or of `mfdask` itself.
COMMAND_LINES = {
    "nightly/downstream.py",
    "nightly/schedule.py",
    "report/browser.py",
    "tuning/space.py",
}
#: Advice such as `mfdask bench tiers --json`, and what style sheets call a colour.
ALLOWED = re.compile(r"`(mfdask|dask) [^`]*`|var\(--[a-z]+|{--[a-z]+:|style=\"--[a-z]+:")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def chained(error):
    """Return an error of a library that comes from another."""
    made = RuntimeError("failed to start")
    made.__cause__ = error
    return made


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        pa.ArrowMemoryError("malloc of size 64 failed"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: unavailable"),
        ImportError("parsers.so: failed to map segment from shared object"),
        chained(RuntimeError("can't start new thread")),
    ],
)
def test_too_little_memory_is_refused_in_one_line(error):
    told = pytest.raises(EndedError, match="not enough memory; end something")
    with told as ended, ending(click.Command("train")):
        raise error
    assert ended.value.exit_code == 3


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EACCES, "Failed to open 'out/x.parquet'. Detail: denied"), "out/x.parquet:"),
        (OSError(errno.EROFS, "read-only", "out/x"), "out/x: "),
        (OSError(errno.EFBIG, "File too large"), "disk: files may not be so large"),
    ],
)
def test_errors_of_the_system_name_the_place(error, line):
    with pytest.raises(EndedError, match=rf"^{line}"), ending(click.Command("train")):
        raise error


@pytest.mark.parametrize("has", [True, False])
def test_an_option_is_recommended_where_there_is_one(has):
    command = click.Command("train", params=[click.Option(["--out"])] if has else [])
    with pytest.raises(EndedError) as ended, ending(command):
        raise OSError(errno.EROFS, "read-only", "x")
    assert ended.value.message.endswith("write elsewhere with --out" if has else "write elsewhere")


def texts(tree):
    """Yield the texts of a module but its docstrings; what an f-string fills in is a dot."""
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, DOCUMENTED) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "." for part in node.values]
            yield "".join(parts)
            skipped |= {id(part) for part in node.values}
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


def test_the_library_names_no_options():
    found = [
        f"{file.relative_to(ROOT)}: {text}"
        for file in sorted(ROOT.rglob("*.py"))
        for text in texts(ast.parse(file.read_text()))
        if re.search(r"(?<![\w-])--[a-z]", ALLOWED.sub("", text))
        and str(file.relative_to(ROOT)) not in COMMAND_LINES
        and file.relative_to(ROOT).parts[0] not in ("bench", "jobs")
    ]
    assert found == []


def test_a_parameter_is_named_as_in_python():
    require(True, "top", 1, "1 or more")
    with pytest.raises(InputError, match=r"^top must be 1 or more, not 0$") as caught:
        require(False, "top", 0, "1 or more")
    assert caught.value.with_names({"top": "--top"}) == "--top must be 1 or more, not 0"
