"""Bring reference data up to date from its publishers, or from a file on an air-gapped machine."""
