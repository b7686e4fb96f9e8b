"""Pictures of simulated robots: what can draw here, and the camera that follows a robot."""
