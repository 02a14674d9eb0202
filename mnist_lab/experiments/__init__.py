"""Questions, the trainings that answer them, and what may be concluded."""
