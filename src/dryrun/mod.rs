//! The pipeline without effects: what would become of a record, and who would get it.

//pub mod explain; // needs `map` and `pipeline`
pub mod why_not;
