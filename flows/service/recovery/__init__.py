"""Recovery of flow runs whose processes died: they are found, closed, and taken up again."""
