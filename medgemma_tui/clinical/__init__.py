"""Pure functions on clinical text; no I/O, no model. Reviewed data lies in data/."""
