//! What the tests share: a broker, the daemon, endpoints, and the books that are kept about them.
#![allow(dead_code, reason = "a promise uses a part of it")]

pub(crate) mod account;
pub(crate) mod api_call;
pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod daemon;
pub(crate) mod endpoint;
pub(crate) mod minder;
pub(crate) mod ports;
pub(crate) mod receiver;
pub(crate) mod registry;
pub(crate) mod shipped;
pub(crate) mod shop;
pub(crate) mod wait;
