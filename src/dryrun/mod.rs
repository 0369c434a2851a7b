//! The pipeline without effects.
