"""Long-running processes: the private Prefect server, the supervisor of `voicemill up`, the inbox watcher."""
