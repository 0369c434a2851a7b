//! CEL and templates: pure functions of what is in scope.
