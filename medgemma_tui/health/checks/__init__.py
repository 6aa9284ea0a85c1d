"""The checks, one file each. Each has a ``CHECK`` (or ``CHECKS``), which ``health.registry`` lists."""
