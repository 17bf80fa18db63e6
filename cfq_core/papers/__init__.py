"""Papers that an owner of a model files: reasons of denials, inventory entry, challengers, impact by group, expiry."""
