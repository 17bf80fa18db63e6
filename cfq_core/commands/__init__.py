"""The commands of `cfq`, by subject; each module ends in the commands it gives."""
