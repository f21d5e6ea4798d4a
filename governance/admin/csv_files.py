"""Lists as CSV files (RFC 4180), written row by row."""

import csv
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

# What of a file is held in memory; more of it is on disk.
IN_MEMORY = 1 << 20


def cell(text: str) -> str:
    """A text that somebody else wrote. A spreadsheet takes a cell that begins so for a formula (CWE-1236)."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def csv_of(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> IO[bytes]:
    """A file with these columns and rows; open, at its beginning."""
    file = cast("IO[bytes]", SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115  whoever sends it closes it
    text = TextIOWrapper(file, encoding="utf-8", newline="")
    lines = csv.writer(text)
    lines.writerow(heads)
    lines.writerows(rows)
    text.detach()
    file.seek(0)
    return file
