"""What is computed of stored models, a file each: profiles, groups, forecasts, and a plan's probes."""
