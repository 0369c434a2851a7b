//! One attempt: target and event in, outcome out.
