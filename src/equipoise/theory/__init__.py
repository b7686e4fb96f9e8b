"""Finite constrained Markov decision processes solved exactly, and the convergence experiment on them."""
