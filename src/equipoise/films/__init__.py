"""A trained policy to be looked at: filmed, or live in a window."""
