//! One generation of decode, map and match.
