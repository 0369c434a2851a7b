//! Record to domain event; the table of decoders.
