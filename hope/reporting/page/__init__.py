"""The pages: a study's report, a checkpoint's, and what both are made of."""
