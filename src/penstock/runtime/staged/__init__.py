"""Copies whose stages run on threads apart, so that several batches are under way at once."""
