//! Domain event to integration events.
