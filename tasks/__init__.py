"""The stages: one module each, a pure function over records and arrays. Prefect is imported by `tasks.engine` alone."""
