"""Standard output and error that outlive whoever reads them."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Outliving(io.FileIO):
    """Writes to a descriptor; once its reader is gone, to nowhere."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            # The descriptor itself, since processes that are started later inherit it.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(memoryview(data).cast("B"))


def outlive_readers() -> None:
    """Let a job that is piped into `head` or `true` go on: the reader has what it wants."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper):
            continue  # none was given, or a test has put its own there
        stream.flush()
        raw = _Outliving(stream.fileno(), "w", closefd=False)
        outliving = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering or stream.write_through,
        )
        setattr(sys, name, outliving)
