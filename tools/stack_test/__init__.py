"""Deploys the stack into emulators, as a user would into AWS, and tests that it works there: `make stack-test`."""
