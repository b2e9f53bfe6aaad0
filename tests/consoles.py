"""What pages show of a terminal: their commands are run, and what they print is compared.

A block of ``console`` holds commands behind ``$`` and what they print; a block of ``pycon`` what
one types into Python. A line ``…`` stands for any number of lines. Of a command that shows nothing
only the exit code counts. ``python -m tests.consoles PAGE FOLDER`` prints the page with what its
blocks print now.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Where the scripts are of what is installed beside the tests.
HERE = Path(sys.executable).parent
_BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Lines that differ from run to run.
_OF_THE_MACHINE = re.compile(r"seconds|compiling|peak memory|MiB|KiB|created|old\b|^mfdask")
_VERSION = re.compile(r"\d{6}-\d{8}T\d{6}Z")
_FRAME = re.compile(r"[─━┌┐└┘├┤┬┴┼┏┓┗┛┳┻╇┡┩│┃]+")
_NUMBER = re.compile(r"^[+-]?[\d,]*\.\d+$")


def commands(block: str) -> list[tuple[str, str]]:
    """Return each command of a block of ``console``, and what it shows."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", block, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def text_of(name: str) -> str:
    """Return a page of the documentation."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def run(command: str, folder: Path, scripts: Path = HERE) -> str:
    """Run a command as somebody would who has installed mfdask; return its standard output."""
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "COLUMNS": "80"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def typed(block: str, folder: Path) -> list[tuple[str, str, str]]:
    """Return each statement of a block of ``pycon``, what it shows, and what it prints now."""
    names: dict[str, object] = {}
    lines = []
    with contextlib.chdir(folder):
        for example in doctest.DocTestParser().get_examples(block):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(example.source, "<page>", "single"), names)
            source = ">>> " + example.source.rstrip("\n").replace("\n", "\n... ")
            lines.append((source, example.want, printed.getvalue()))
    return lines


def words(text: str) -> list[list[str]]:
    """Return the words of the lines that every run prints alike."""
    kept = [line for line in text.splitlines() if not _OF_THE_MACHINE.search(line)]
    split = (_FRAME.sub(" ", _VERSION.sub("VERSION", line)).split() for line in kept)
    return [line for line in split if line]


def same_word(shown: str, printed: str) -> bool:
    """Return whether two words are equal, or two fractions but for their last digit."""
    if shown == printed or not (_NUMBER.match(shown) and _NUMBER.match(printed)):
        return shown == printed
    last = 10.0 ** -len(shown.partition(".")[2])
    left, right = (float(text.replace(",", "")) for text in (shown, printed))
    return abs(left - right) < 2.5 * last


def same(shown: str, printed: str) -> bool:
    """Return whether a block prints what it shows, but for what differs from run to run."""
    parts = [words(part) for part in re.split(r"^…$", shown, flags=re.MULTILINE)]
    lines, start = words(printed), 0
    for place, part in enumerate(parts):
        if place and place == len(parts) - 1:
            start = max(start, len(lines) - len(part))
        starts = range(start, len(lines) - len(part) + 1) if place else [0]
        found = next((at for at in starts if _equal(part, lines[at : at + len(part)])), None)
        if found is None:
            return False
        start = found + len(part)
    return start == len(lines) or not parts[-1]


def _equal(some: list[list[str]], others: list[list[str]]) -> bool:
    return [len(line) for line in some] == [len(line) for line in others] and all(
        same_word(a, b)
        for line, other in zip(some, others, strict=True)
        for a, b in zip(line, other, strict=True)
    )


def printed_now(page: str, folder: Path, scripts: Path = HERE) -> list[tuple[str, str, str]]:
    """Run a page's blocks from its top; return commands, what they show, and what they print.

    Commands are run from a folder of scripts; what is typed into Python, in this one.
    """
    found = []
    for kind, block in _BLOCK.findall(page):
        if kind == "pycon":
            found += typed(block, folder)
        else:
            found += [
                (f"$ {line}", shown, run(line, folder, scripts)) for line, shown in commands(block)
            ]
    return found


def check(page: str, folder: Path, scripts: Path = HERE) -> int:
    """Run a page, compare what it shows, and return how many commands it has."""
    blocks = printed_now(page, folder, scripts)
    for command, shown, printed in blocks:
        assert not shown or same(shown, printed), f"{command}\n{printed}"
    return len(blocks)


def main() -> None:
    """Print a page with what its blocks print now."""
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    for command, shown, printed in printed_now(page, Path(sys.argv[2])):
        if shown and not same(shown, printed):
            page = page.replace(f"{command}\n{shown}", f"{command}\n{printed}", 1)
    print(page, end="")


if __name__ == "__main__":
    main()
