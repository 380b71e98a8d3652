"""What a terminal shows. Text only; nothing is computed here."""
