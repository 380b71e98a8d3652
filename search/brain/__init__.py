"""What proposes trials and what stops them: Optuna's samplers and the rules of Ray Tune, with their memory."""
