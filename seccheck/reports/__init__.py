"""Report plugins: each turns a run folder into one format."""
