//! Text to values that know their place.
