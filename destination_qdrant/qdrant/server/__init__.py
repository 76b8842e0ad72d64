"""A Qdrant server: `store` is what the others are put together to."""
