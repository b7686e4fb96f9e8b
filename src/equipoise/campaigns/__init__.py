"""Campaigns: grids of runs from one small file, each run a process of its own, and two tidy tables of them all."""
