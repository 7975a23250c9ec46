"""Training through DeepSpeed, from one CPU process to many GPUs."""
