"""What can be checked without running a test: registry, documents, standing, machine."""
