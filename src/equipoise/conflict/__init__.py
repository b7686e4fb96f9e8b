"""How reward and costs conflict in a run: over training, and around one of its checkpoints."""
