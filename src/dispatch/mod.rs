//! Loop 2: lanes to HTTP to settled.
