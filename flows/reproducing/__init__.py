"""A registered version made again, or what stands in the way of it by name."""
