"""The trainer's own step on a model without values: what it allocates, counted."""
