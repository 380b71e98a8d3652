"""The report of a study, as a document: all of its sections in order."""

from __future__ import annotations

from search.report.page.confirmed import confirmed_sections
from search.report.page.document import Document
from search.report.page.explanation import explanations
from search.report.page.material import Material
from search.report.page.ranking import curves_section, leaderboard_section, progress_section
from search.report.page.record import (
    MORE,
    cost_section,
    data_section,
    hindsight_sentences,
    reproduce_section,
    versions_section,
)
from search.report.page.verdict import document


def report(material: Material) -> Document:
    """Return what is to be said of a study: the verdict, what it rests on, what it cost, how to reproduce it."""
    more = [line.removeprefix(MORE).strip() for line in hindsight_sentences(material) if line.startswith(MORE)]
    sections = (
        *confirmed_sections(material.answer.confirmation),
        leaderboard_section(material),
        curves_section(material),
        *explanations(material),
        data_section(material),
        cost_section(material),
        progress_section(material, more),
        reproduce_section(material),
        versions_section(material),
    )
    return document(material, [section for section in sections if section is not None])
