"""The network (torch)."""
