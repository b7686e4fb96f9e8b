"""The best policy of a run that can be certified: candidates, a race among them, and what is written of the winner."""
