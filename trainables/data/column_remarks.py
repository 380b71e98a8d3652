"""What a user should know of how the columns of a table were read: gathered column by column, said kind by kind."""

from __future__ import annotations

from enum import StrEnum

from trainables.data.parts import list_first
from trainables.notice import Notice, notice_of


class Remark(StrEnum):
    """What there may be to say of a column; the values are the kinds of the notices."""

    SPELLED_NUMBERS = "spelled_numbers"
    SPELLED_DATES = "spelled_dates"
    MISSING_WORDS = "missing_words"
    ODD_VALUES = "odd_values"
    MIXED_TEXT = "mixed_text"
    NUMERALS = "numerals_as_text"
    WORDS_AS_TEXT = "words_as_text"
    SPACES = "spaces_removed"
    IDENTIFIERS = "dropped_texts"


_SENTENCES = {
    Remark.SPELLED_NUMBERS: ("read as numbers: {}", False),
    Remark.SPELLED_DATES: ("read as dates: {}", False),
    Remark.MISSING_WORDS: ("read as missing, words in a column of something else: {}", True),
    Remark.ODD_VALUES: (
        "read as missing, values that are not what the others are: {}; --as COLUMN=text keeps them",
        True,
    ),
    Remark.MIXED_TEXT: (
        "read as text, though most values are numbers or dates: {}; --as COLUMN=number makes the others missing",
        True,
    ),
    Remark.NUMERALS: ("read as text, as the file has it, though all values are numbers: {}; --as COLUMN=number", True),
    Remark.WORDS_AS_TEXT: ("read as a value like any other: {}; --missing WORD reads it as missing", True),
    Remark.SPACES: ("removed, spaces around values: {}", False),
    Remark.IDENTIFIERS: ("dropped, text with nearly as many values as rows: {}", True),
}


class Remarks:
    """Gathers what is to say of columns."""

    def __init__(self) -> None:
        self._found: dict[Remark, dict[str, str]] = {}

    def add(self, remark: Remark, column: str, detail: str) -> None:
        """Note ``remark`` of a column, with what it is about in a few words."""
        self._found.setdefault(remark, {})[column] = detail

    def notices(self) -> tuple[Notice, ...]:
        """Return a notice for each kind of remark, which names the columns."""
        made = []
        for remark, columns in self._found.items():
            sentence, warning = _SENTENCES[remark]
            listed = list_first([f"{name!r} ({detail})" for name, detail in columns.items()])
            made.append(notice_of(remark.value, sentence.format(listed), columns, warning=warning))
        return tuple(made)
