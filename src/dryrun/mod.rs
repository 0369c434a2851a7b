//! The pipeline without effects: what would become of a record and who would get it, whether the tests beside the
//! mappings hold, and what a mapping of a topic could look like.

pub mod diff;
pub mod explain;
pub mod junit;
pub mod proposal;
pub mod suite;
pub mod told;
pub mod why_not;
pub mod written;
