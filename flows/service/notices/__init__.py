"""Notices: what somebody must be told of a store, where it is written down, and how it reaches a person."""
