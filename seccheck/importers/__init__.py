"""Spreadsheets that offices keep, to registry files and back."""
