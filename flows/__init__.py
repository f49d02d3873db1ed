"""Prefect flows, the command line, the report."""
