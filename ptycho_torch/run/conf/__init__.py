"""The configurations: one folder a group, one file an option; what a file leaves out is the default of the schema."""
