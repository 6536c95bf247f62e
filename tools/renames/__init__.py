"""Names that changed before there was a version."""
