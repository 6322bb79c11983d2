"""Adapters: a model inside other people's runners: Beam, Spark, Ray Data."""
