"""config.json and recipe -> parameters and bytes, without torch."""
