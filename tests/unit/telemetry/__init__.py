"""Tests of telemetry/."""
