"""What Dagster shows and runs: thin shells over the rest of the package, the only place that imports Dagster."""
