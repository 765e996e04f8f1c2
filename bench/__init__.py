"""Benchmarks: `python -m bench [NAME…]` measures Waver beside a named rival in the same run."""
