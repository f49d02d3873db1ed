"""The training loop: steps, evaluation, checkpoints, early stopping, logs, and ranks of a distributed run."""
