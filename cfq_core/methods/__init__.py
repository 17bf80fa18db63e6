"""Methods: how a teacher becomes a student of few bits."""
