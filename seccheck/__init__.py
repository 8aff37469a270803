"""seccheck measures information-security compliance: criteria drive probes, a scorer makes the tally."""

__version__ = "0.1.0"
