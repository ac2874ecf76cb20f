"""What can be seen to be wrong with a recipe on a machine, without reading a row or asking the network."""
