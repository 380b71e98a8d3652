"""A terminal's view of a search: plan, progress, answer, tables. Text only; nothing is computed here."""
