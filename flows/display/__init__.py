"""What people see while a flow runs: terminal tables, progress bars, Prefect artifacts, loss curves."""
