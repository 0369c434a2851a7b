//! What the process gives to all rooms: time, chance, the stop. Knows no station.

pub mod clock;
pub mod random;
pub mod shutdown;
pub mod status;
