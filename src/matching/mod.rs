//! From an event to the subscriptions that get it: tenant, type patterns, filter.
//!
//! Pure. Knows patterns and filters (CEL, and the dialects of CloudEvents Subscriptions) as texts made ready, not
//! subscriptions: who asks says what stands at which position.

pub mod cesql;
pub mod dialect;
pub mod filter;
pub mod index;
pub mod pattern;
