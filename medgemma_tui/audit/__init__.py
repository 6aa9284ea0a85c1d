"""The keyed, chained log of who did what and when: counters and keyed hashes, never a text."""
