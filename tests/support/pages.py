"""The pages that are written for people: the README and the Markdown files below docs/ and benchmarks/."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
SHOWN = [page for page in PAGES if page.name == "README.md" or page.parent.name == "docs"]
"""Those whose samples are checked."""

FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Sample:
    """A fenced block.

    Attributes:
        page: its path from the root.
        language: as the fence names it: ``python``, ``yaml``, ``sh``, ``console``, ``text``, or nothing.
        text: its lines.
    """

    page: str
    language: str
    text: str

    def __str__(self):
        return f"{self.page}: {self.text.splitlines()[0]}"


def samples(language=None):
    """Return the blocks of all pages that are shown, of one language or of any."""
    found = [Sample(str(page.relative_to(ROOT)), *match) for page in SHOWN for match in FENCE.findall(page.read_text())]
    return [sample for sample in found if language in (None, sample.language)]


def sample(language, beginning, page=None):
    """Return the text of the one block that begins so, on one page or on any."""
    (found,) = {s.text for s in samples(language) if s.text.startswith(beginning) and page in (None, s.page)}
    return found


def prose(text):
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text)
