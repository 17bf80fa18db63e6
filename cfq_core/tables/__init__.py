"""Tables of people: schema, encoding, splits."""
