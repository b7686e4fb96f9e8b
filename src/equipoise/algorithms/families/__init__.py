"""The library's algorithms by family: names, settings and papers."""
