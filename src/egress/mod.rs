//! The only way out: judges hosts and addresses, and names the HTTP client.
//!
//! [`guard`] says what may be called, at registration and at every connect (SEC-1). [`client`] makes one exchange and
//! tells what came of it; who calls it sees only the trait in [`exchange`]. [`service`] calls what the operator
//! named. This room knows no signature, no retry and no store.

pub mod address;
pub mod client;
pub mod error;
pub mod exchange;
pub mod failure;
pub mod guard;
pub mod lookup;
pub mod resolver;
pub mod service;
pub mod settings;
