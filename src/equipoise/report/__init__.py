"""A campaign as one page to read: what came out, how sure that is, and the same figures and tables for a paper."""
