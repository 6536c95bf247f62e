"""Measures the function against what users would take instead, and against what any Rust function costs: `make
bench`.
"""
