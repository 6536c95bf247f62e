"""The fault layer: between the real SDK clients and the emulators, it makes calls fail the way AWS does."""
