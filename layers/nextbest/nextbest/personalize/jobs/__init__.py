"""What the rebase function runs for Personalize clients: dataset imports and trainings of solution versions."""
