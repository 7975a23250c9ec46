"""Inside the models: attention by distance, frequency components, and the theory of their decay."""
