"""HTML pages: the report of a study and that of a checkpoint."""
