"""What all three Personalize clients speak: ARNs, JSON bodies, shapes, errors, signed callers."""
