//! The pipeline without effects: what would become of a record, and who would get it.

pub mod explain;
pub mod why_not;
