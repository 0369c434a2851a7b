//! What the process gives to all rooms: time, chance, the stop, points of death. Knows no station.

pub mod clock;
pub mod fault;
pub mod random;
pub mod shutdown;
pub mod status;
