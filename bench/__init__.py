"""Benchmarks: flowctl, its peers and raw SQLite side by side, and the ratios between them: `python -m bench`."""
