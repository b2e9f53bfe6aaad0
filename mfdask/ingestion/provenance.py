"""The files that a data set was made from, by their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from mfdask.ingestion.parts import PartFacts
from mfdask.ratings.source import Part
from mfdask.shards.manifest import TakenFile


def taken_files(
    parts: Sequence[Part], facts: Sequence[PartFacts], withdraws: bool = False
) -> list[tuple[TakenFile, int]]:
    """Describe each file of a source that is read, and tell of how many parts it is.

    Parameters
    ----------
    parts : sequence of Part
        Those of one file follow each other.
    facts : sequence of PartFacts
        One for each part.
    withdraws : bool
        See `TakenFile`.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    numbered = zip(parts, facts, strict=True)
    files = []
    for name, of_file in groupby(numbered, key=lambda pair: pair[0].file):
        own = [facts for _, facts in of_file]
        taken = TakenFile(
            file=name,
            digest=_digest([part.digest for part in own]),
            read=sum(part.n_read for part in own),
            rejected=sum(part.n_rejected for part in own),
            withdraws=withdraws,
            taken=now,
        )
        files.append((taken, len(own)))
    return files


def _digest(digests: list[str]) -> str:
    """Return the digest of a file from those of its parts."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()
