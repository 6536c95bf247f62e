"""Tests of what the tools compute by themselves. The rest of them is tried by what they are for."""
