"""What is running: database, carriers, use cases, web."""
