"""Measurements and rehearsed disasters; nothing of the service imports this."""
