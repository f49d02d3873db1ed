"""What happens to flow runs whose processes die: found by the processes that remain, closed, and taken up again."""
