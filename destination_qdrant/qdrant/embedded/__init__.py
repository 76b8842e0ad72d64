"""A Qdrant inside this process: `store` runs the engine, `folder` keeps its files, `models` speaks its types."""
