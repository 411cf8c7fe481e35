"""What the OnPoint DAGs are made of. Of OnPoint's own code only `shared.events` is imported."""
