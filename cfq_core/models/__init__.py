"""Somebody's model as ours: files read and computed in limited processes, as a list of layers where they are one."""
