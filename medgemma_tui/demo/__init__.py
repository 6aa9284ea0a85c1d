"""The embedded demo model: a tiny Gemma 3 trained on our own small corpus. DEMO, NOT MEDICAL."""
