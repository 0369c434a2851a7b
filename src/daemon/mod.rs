//! Builds the house from its config, runs and stops it.
