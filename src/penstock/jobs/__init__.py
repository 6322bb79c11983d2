"""Models over data at rest and in motion: batch jobs and streams."""
