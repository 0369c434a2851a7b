//! How far each partition is: what was admitted, what of it is settled, how far the group may commit, when to pause.
//!
//! Takes admissions and settlements, gives watermarks. Knows neither what a delivery is nor who settles it.

pub mod gate;
pub mod partition;
pub mod partitions;
