//! From an event to the subscriptions that get it: tenant, type patterns, filter.
//!
//! Pure. Knows patterns and filters as texts made ready, not subscriptions: who asks says what stands at which
//! position.

pub mod filter;
pub mod index;
pub mod pattern;
