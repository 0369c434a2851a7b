//! The only way out: judges addresses and names the HTTP client.

pub mod settings;
