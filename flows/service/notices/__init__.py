"""Notices: what a person must be told of a store, where it is written down and how it is sent, and what runs ask."""
