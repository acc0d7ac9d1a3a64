"""An example of what a package can add to ft; `pyproject.toml` says where ft finds each thing."""
