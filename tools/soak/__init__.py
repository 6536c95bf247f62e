"""Lets everything fail at once for a few minutes, and then asks whether anything was lost: `make soak`."""
