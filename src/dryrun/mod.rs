//! The pipeline without effects: what would become of a record and who would get it; whether the tests beside the
//! mappings hold.

pub mod diff;
pub mod explain;
pub mod junit;
pub mod suite;
pub mod told;
pub mod why_not;
pub mod written;
