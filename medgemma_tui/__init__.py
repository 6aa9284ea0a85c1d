"""medgemma-tui: a full-screen terminal appliance for MedGemma on a hospital's own GPU box."""

__version__ = "0.1.0"
