"""What every layer stands on: errors, plug-in discovery, identities, seeds."""
