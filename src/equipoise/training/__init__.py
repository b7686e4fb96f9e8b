"""Training: the one loop that there is, from rollout to checkpoint, and what is done with a finished run."""
