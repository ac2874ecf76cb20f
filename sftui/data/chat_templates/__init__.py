"""Chat templates of our own, for models that carry none: NAME.jinja each."""
