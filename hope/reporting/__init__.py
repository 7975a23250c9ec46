"""From tables to endpoints, verdicts, figures, notebooks and the report."""
