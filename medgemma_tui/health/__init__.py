"""Is this box fit for clinic? Checks (one file each), their meanings in words, and the forms of the report."""
