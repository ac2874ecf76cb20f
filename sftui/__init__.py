"""sftui: a terminal workbench for supervised fine-tuning of language models.

This package is the engine: every fact and every number. It never imports Textual; only
`sftui.training` imports torch, and only in the trainer's own process.
"""

__version__ = "0.1.0"
