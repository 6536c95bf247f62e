"""What stands in for AWS on this machine: the emulators, the fault layer, the Lambda emulator, and how they are
started and used.
"""
