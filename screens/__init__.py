"""What a person sees: the screens of the workbench. They import the engine, never the reverse."""
