"""Faces to the world: our tasks as Gymnasium environments, and the way in for anyone's own environment."""
