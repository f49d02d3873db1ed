"""Display of running flows: terminal tables, progress bars, Prefect artifacts, loss curves."""
