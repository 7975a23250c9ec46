"""From tables to what a person reads: endpoints, claims, figures, notebooks and the report."""
