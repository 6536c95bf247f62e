"""Seals one stream from end to end on this machine: `make demo`."""
