"""What proposes trials and what stops them: Optuna's samplers and Ray Tune's schedulers, with their memory."""
