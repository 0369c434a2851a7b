//! All subscriptions, compiled, in memory.
