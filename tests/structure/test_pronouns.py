"""People are "they": no text of the repository gives a person a gender."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Files that may hold such words, each with the reason.
ALLOWED = {
    "tests/structure/test_pronouns.py": "the rule names what it forbids",
}

_WORDS = ("he", "him", "his", "himself", "she", "her", "hers", "herself")
_SPELLED = [form for word in _WORDS for form in (word, word.capitalize(), word.upper())]
# Names are read too, word by word (test_what_he_may). HE in capitals is homomorphic encryption.
_PRONOUN = re.compile(r"(?<![A-Za-z])(?:{})(?![A-Za-z])".format("|".join(f for f in _SPELLED if f != "HE")))

#: So are, in small letters, its kinds and operations (they have a dot), and the extra that brings it.
_ENCRYPTION = re.compile(
    r"""(?<![A-Za-z])he\.(?=["a-z{…])|\\?\[he\\?\]|%\(he\)s|(?<=`)he(?=`)|"he"(?=: )|^he =$"""
)

_NOT_OURS = {"__pycache__", "node_modules", "build", "dist", "shared"}
#: Built from texts that are read themselves; its short names are nobody's words.
_BUILT = ROOT / "packages" / "grid" / "web" / "pages" / "static" / "peer"


def _tracked() -> list[Path] | None:
    """The files that git tracks here; None where there is no repository, or no git to ask."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return None
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        return None
    return [ROOT / name for name in os.fsdecode(listed.stdout).split("\0") if name]


def _walked() -> Iterator[Path]:
    """Every file of an unpacked copy, without what tools leave behind."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [each for each in below if each not in _NOT_OURS and not each.startswith(".")]
        yield from (Path(folder, name) for name in names)


def _pronouns(text: str) -> Iterator[tuple[int, str]]:
    """The number of each line (from 1) that holds a gendered pronoun, and the pronoun."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in _PRONOUN.finditer(_ENCRYPTION.sub("", line)):
            yield number, found[0]


def _found_in(paths: Iterator[Path] | list[Path]) -> dict[str, list[str]]:
    """By file: "path:line: word" of each pronoun. What is not UTF-8 text is left out."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        if not path.is_file() or _BUILT in path.parents:  # the first: deleted, and not committed yet
            continue
        content = path.read_bytes()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            continue
        name = path.relative_to(ROOT).as_posix()
        lines = [f"{name}:{number}: {word}" for number, word in _pronouns(text)]
        if lines:
            found[name] = lines
    return found


def test_people_are_they() -> None:
    tracked = _tracked()
    found = _found_in(_walked() if tracked is None else tracked)
    wrong = [line for name, lines in found.items() if name not in ALLOWED for line in lines]
    assert not wrong, "write they, or name the person:\n" + "\n".join(wrong)


def test_a_copy_without_git_is_read_too() -> None:
    tracked, walked = _tracked(), set(_walked())
    assert Path(__file__).resolve() in walked
    if tracked is not None:  # hidden files are the only ones that walking leaves out
        missed = {path for path in tracked if path.is_file()} - walked
        assert all(any(part.startswith(".") for part in path.relative_to(ROOT).parts) for path in missed), (
            missed
        )


def test_the_exceptions_are_still_needed() -> None:
    assert set(_found_in([ROOT / name for name in ALLOWED])) == set(ALLOWED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What he may, and she's asked", ["he", "she"]),
        ("s/he or him/her: HIS_OWN, test_his_lists", ["he", "him", "her", "HIS", "his"]),
        ("Himself.\nHerself, (hers)", ["Himself", "Herself", "hers"]),
        ("They share this with others; the history of HE is where a shell is", []),
    ],
)
def test_what_counts_as_one(text: str, words: list[str]) -> None:
    assert [word for _, word in _pronouns(text)] == words
