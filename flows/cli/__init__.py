"""The command line `voicemill`: one module for each group of commands."""
