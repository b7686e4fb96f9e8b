"""A trained policy taken elsewhere: as one file with all that acting needs, and a program beside it that acts."""
