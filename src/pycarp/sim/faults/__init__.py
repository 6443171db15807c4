"""What goes wrong in a simulation: plans, random ones, experiments, and the shortest plan that fails."""
