"""The networks, their training, evaluation, registry and serving."""
