"""The places of the screen, and the questions it asks, one file each."""
