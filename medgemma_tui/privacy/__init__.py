"""What every process of ours closes at its start (``seal``), and what can be proved closed (``probes``, ``kernel``)."""
