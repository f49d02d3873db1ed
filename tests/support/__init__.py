"""What several tests share: factories, small networks, processes, golden arrays."""
