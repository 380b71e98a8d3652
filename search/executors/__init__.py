"""Where and how trials run, behind one small protocol."""
