//! Event to subscriptions, and why not.
