//! One subscription: signals in, effects out.

pub mod settings;
