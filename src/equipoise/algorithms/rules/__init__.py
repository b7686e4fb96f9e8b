"""Rules: what an update is for. One file per paper."""
