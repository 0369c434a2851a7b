//! Every room's settings, read once and checked.
