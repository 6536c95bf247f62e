"""Tries the stack in an AWS account, and asks AWS what its documentation does not say: `make accept`."""
