"""How the crash tests stop a run at every point, and what they check afterwards."""
