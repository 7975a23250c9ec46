"""What the notebooks call, what their texts find, and how they are rendered."""
