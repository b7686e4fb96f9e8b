"""Gradient manipulation: conflict measures, metrics, and combinations that harm no objective."""
