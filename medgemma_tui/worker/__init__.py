"""The worker: the only room with torch. Loads the model and decodes."""
